package storetest

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/geminihook/geminihook"
)

// nameFor returns the name under which the suite writes for a key.
func nameFor(key string) string {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(key))
	return fmt.Sprintf("%016x", sum.Sum64())
}

// transaction is what became of a call of Transact.
type transaction struct {
	state geminihook.State
	runs  int // of the function
	err   error
}

// transact writes one row in the transaction, then calls fn.
func (h *harness) transact(
	ctx context.Context, store geminihook.Transactor, key string, keep time.Duration,
	fn func(context.Context) error,
) (tx transaction) {
	tx.state, tx.err = store.Transact(ctx, key, keep, func(ctx context.Context) error {
		tx.runs++
		if h.writes.Write == nil { // the store is gone: it must not come to this
			return nil
		}
		if err := h.writes.Write(ctx, nameFor(key)); err != nil {
			return fmt.Errorf("storetest: Writes.Write failed: %w", err)
		}
		return fn(ctx)
	})
	return tx
}

func succeed(context.Context) error { return nil }

// sometimesSlow returns a function that takes a moment for every second key, so
// that the other calls of a race come while it runs.
func (h *harness) sometimesSlow(i int) func(context.Context) error {
	return func(context.Context) error {
		if i%2 == 0 {
			h.wait(time.Millisecond)
		}
		return nil
	}
}

// wantCommitted checks how many of the key's writes were committed.
func (h *harness) wantCommitted(want int, key, when string) {
	h.t.Helper()
	n, err := h.writes.Count(context.WithoutCancel(h.ctx), nameFor(key))
	if err != nil {
		h.t.Fatalf("storetest: Writes.Count failed: %v", err)
	}
	if n != want {
		h.t.Fatalf("%s, %d of the function's writes are in the database, want %d", when, n, want)
	}
}

// mustTransact expects that the key is free: the function runs and is committed. What
// was rolled back may take a moment to be free.
func (h *harness) mustTransact(
	store geminihook.Transactor, key string, keep time.Duration, when string,
) {
	h.t.Helper()
	before, err := h.writes.Count(h.ctx, nameFor(key))
	h.wantNoError(err, "storetest: Writes.Count")
	h.eventually(when+" the key was not InProgress for Transact", func() bool {
		tx := h.transact(h.ctx, store, key, keep, succeed)
		if tx.err == nil && tx.state == geminihook.InProgress && tx.runs == 0 {
			return false
		}
		if tx.err != nil || tx.state != geminihook.Acquired || tx.runs != 1 {
			h.t.Fatalf("%s, Transact returned %s and the error %v, and the function ran %d times, want Acquired, no error, and 1 run",
				when, tx.state, tx.err, tx.runs)
		}
		return true
	})
	h.wantCommitted(before+1, key, "after Transact returned Acquired and no error")
}

// wantNoRun expects that the function does not run, for the key is in that state.
func (h *harness) wantNoRun(want geminihook.State, store geminihook.Transactor, key, when string) {
	h.t.Helper()
	tx := h.transact(h.ctx, store, key, long, succeed)
	if tx.err != nil || tx.state != want || tx.runs != 0 {
		h.t.Fatalf("%s, Transact returned %s and the error %v, and the function ran %d times, want %s, no error, and no run",
			when, tx.state, tx.err, tx.runs, want)
	}
}

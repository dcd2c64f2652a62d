package storetest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

// transactBehaviors are those of a geminihook.Transactor, except for what must
// be rolled back.
var transactBehaviors = []behavior{
	{
		name: "commits", test: transactCommits,
		contract: "Transact with a function that returns nil is Acquired, and commits mark and writes together. Afterwards it is Done, and the function does not run.",
	},
	{
		name: "passes context values", test: transactValues,
		contract: "The context of the function is derived from the caller's: values such as the event and the trace are found in it, and its end is seen.",
	},
	{
		name: "runs once under races", test: transactRaces,
		contract: "Of all who transact a key at once, one runs the function and commits; the others are InProgress while it runs, and then Done.",
	},
	{
		name: "does not wait for another", test: transactDoesNotWait,
		contract: "Transact of a key whose transaction runs is InProgress at once: waiting holds a connection, and the sender. " +
			"With TransactorSuite.Waits, that holds for the same handle; another may wait until its context ends, and then fails.",
	},
	{
		name: "done ends after keep", test: transactDoneEnds,
		contract: "The mark is Done until keep has passed, then the key is free. InProgress is only for a key that somebody holds.",
	},
	{
		name: "hostile keys", test: transactHostileKeys,
		contract: "A key is any text that an HTTP header can hold, and is compared byte for byte.",
	},
	{
		name: "canceled context", test: transactCanceled,
		contract: "Transact with a context that has ended does not run the function, and returns an error.",
	},
	{
		name: "gone", needs: needsGone, test: transactGone,
		contract: goneContract + " The error of Transact wraps ErrStore.",
	},
}

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
func (h *harness) transact(ctx context.Context, store geminihook.Transactor, key string, keep time.Duration, fn func(context.Context) error) (tx transaction) {
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

// committed checks how many of the key's writes were committed.
func (h *harness) committed(want int, key, when string) {
	h.Helper()
	n, err := h.writes.Count(context.WithoutCancel(h.Context()), nameFor(key))
	if err != nil {
		h.Fatalf("storetest: Writes.Count failed: %v", err)
	}
	if n != want {
		h.Fatalf("%s, %d of the function's writes are in the database, want %d", when, n, want)
	}
}

// runs expects that the key is free: the function runs and is committed. What
// was rolled back may take a moment to be free.
func (h *harness) runs(store geminihook.Transactor, key string, keep time.Duration, when string) {
	h.Helper()
	before, err := h.writes.Count(h.Context(), nameFor(key))
	h.ok(err, "storetest: Writes.Count")
	h.until(when+" the key was not InProgress for Transact", func() bool {
		tx := h.transact(h.Context(), store, key, keep, succeed)
		if tx.err == nil && tx.state == geminihook.InProgress && tx.runs == 0 {
			return false
		}
		if tx.err != nil || tx.state != geminihook.Acquired || tx.runs != 1 {
			h.Fatalf("%s, Transact returned %s and the error %v, and the function ran %d times, want Acquired, no error, and 1 run",
				when, nameOf(tx.state), tx.err, tx.runs)
		}
		return true
	})
	h.committed(before+1, key, "after Transact returned Acquired and no error")
}

// runsNot expects that the function does not run, for the key is in that state.
func (h *harness) runsNot(want geminihook.State, store geminihook.Transactor, key, when string) {
	h.Helper()
	tx := h.transact(h.Context(), store, key, long, succeed)
	if tx.err != nil || tx.state != want || tx.runs != 0 {
		h.Fatalf("%s, Transact returned %s and the error %v, and the function ran %d times, want %s, no error, and no run",
			when, nameOf(tx.state), tx.err, tx.runs, nameOf(want))
	}
}

func transactCommits(h *harness) {
	h.runs(h.transactor1, key, long, "for a new key")
	h.runsNot(geminihook.Done, h.transactor1, key, "after a commit")
	h.runsNot(geminihook.Done, h.transactor2, key, "after a commit")
	h.committed(1, key, "after one run and two duplicates")
	h.runs(h.transactor2, key+"2", long, "for another new key")
}

type contextKey struct{}

func transactValues(h *harness) {
	ctx, cancel := context.WithCancel(context.WithValue(h.Context(), contextKey{}, "the caller's"))
	defer cancel()
	var value any
	ended := false
	tx := h.transact(ctx, h.transactor1, key, long, func(ctx context.Context) error {
		value = ctx.Value(contextKey{})
		cancel()
		select {
		case <-ctx.Done():
			ended = true
		case <-time.After(limit / 2):
		}
		return ctx.Err()
	})
	if value != "the caller's" {
		h.Errorf("a value of the caller's context is %v in the context of the function", value)
	}
	if !ended {
		h.Errorf("the caller's context was canceled, and the context of the function did not end: Transact returned %v", tx.err)
	}
}

func transactRaces(h *harness) {
	h.rounds(func(keys []string) {
		runs := make([]atomic.Int64, len(keys))
		errs := make([]error, racers)
		walk(racers, len(keys), func(racer, i int) {
			for end := time.Now().Add(limit); errs[racer] == nil; {
				tx := h.transact(h.Context(), h.transactor(racer), keys[i], long, func(context.Context) error {
					if i%8 == 0 {
						h.wait(time.Millisecond) // so that the others come while it runs
					}
					return nil
				})
				runs[i].Add(int64(tx.runs))
				switch {
				case tx.err != nil:
					errs[racer] = tx.err
				case tx.state == geminihook.InProgress && time.Now().Before(end):
					h.wait(time.Millisecond)
					continue
				case tx.state != geminihook.Acquired && tx.state != geminihook.Done:
					errs[racer] = fmt.Errorf("the state is %s in the end", nameOf(tx.state))
				}
				return
			}
		})
		h.ok(errors.Join(errs...), "Transact in a race")
		for i, k := range keys {
			if n := runs[i].Load(); n != 1 {
				h.Fatalf("%d callers transacted a key at once, and the function ran %d times, want 1", racers, n)
			}
			h.committed(1, k, "after a race")
		}
	})
}

func transactDoesNotWait(h *harness) {
	var same, other transaction
	tx := h.transact(h.Context(), h.transactor1, key, long, func(context.Context) error {
		ctx, cancel := context.WithTimeout(h.Context(), limit/2)
		defer cancel()
		same = h.transact(ctx, h.transactor1, key, long, succeed)
		if h.waits {
			ctx, cancel = context.WithTimeout(h.Context(), 2*short)
			defer cancel()
		}
		other = h.transact(ctx, h.transactor2, key, long, succeed)
		return nil
	})
	h.ok(tx.err, "Transact")
	for handle, got := range map[string]transaction{"the same handle": same, "another handle": other} {
		if got.runs != 0 {
			h.Fatalf("while a transaction of the key ran, Transact of %s ran the function", handle)
		}
		if h.waits && handle == "another handle" && got.err != nil {
			continue
		}
		if got.err != nil || got.state != geminihook.InProgress {
			h.Fatalf("while a transaction of the key ran, Transact of %s returned %s and the error %v, want InProgress and no error",
				handle, nameOf(got.state), got.err)
		}
	}
	h.runsNot(geminihook.Done, h.transactor2, key, "after a commit")
	h.committed(1, key, "after a commit")
}

func transactDoneEnds(h *harness) {
	h.holds(holding{
		what: "the keep", state: geminihook.Done,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			before := h.now()
			return before, h.transact(h.Context(), h.transactor1, key, d, succeed).err
		},
		probe: func(key string) geminihook.State {
			tx := h.transact(h.Context(), h.transactor2, key, long, succeed)
			h.ok(tx.err, "Transact")
			return tx.state
		},
	})
}

func transactHostileKeys(h *harness) {
	for _, k := range keys() {
		h.runs(h.transactor1, k, long, fmt.Sprintf("for the new key %q", k))
	}
	for _, k := range keys() {
		h.runsNot(geminihook.Done, h.transactor2, k, fmt.Sprintf("after a commit of %q", k))
	}
}

func transactCanceled(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	tx := h.transact(ctx, h.transactor1, key, long, succeed)
	h.failed(tx.err, "Transact with a canceled context")
	if tx.runs != 0 {
		h.Errorf("Transact with a canceled context ran the function")
	}
	h.runs(h.transactor1, key, long, "after Transact with a canceled context")
}

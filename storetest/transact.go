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
		why: "The mark and the writes must be there together, once.",
	},
	{
		name: "passes context values", test: transactValues,
		why: "The function finds the event and the trace in its context, and sees when to stop.",
	},
	{
		name: "runs once under races", test: transactRaces,
		why: "Otherwise one event has its effects twice.",
	},
	{
		name: "does not wait for another", test: transactDoesNotWait,
		why: "Waiting holds a connection, and the sender. See TransactorSuite.Waits for engines that cannot do without.",
	},
	{
		name: "done ends after keep", test: transactDoneEnds,
		why: "Otherwise the table grows forever, or a key is blocked that nobody has.",
	},
	{
		name: "hostile keys", test: transactHostileKeys,
		why: "The sender chooses the webhook-id: no case folding, no trimming, no pattern, no encoding.",
	},
	{
		name: "canceled context", test: transactCanceled,
		why: "The sender has gone, or the time is up.",
	},
	{
		name: "gone", needs: needsGone, test: transactGone,
		why: "The sender waits for the response, and ErrStore tells the store's failures from the function's.",
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

// sometimesSlow returns a function that takes a moment for every eighth key, so
// that the other calls of a race come while it runs.
func (h *harness) sometimesSlow(i int) func(context.Context) error {
	return func(context.Context) error {
		if i%8 == 0 {
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

func transactCommits(h *harness) {
	h.mustTransact(h.firstTransactor, key, long, "for a new key")
	h.wantNoRun(geminihook.Done, h.firstTransactor, key, "after a commit")
	h.wantNoRun(geminihook.Done, h.secondTransactor, key, "after a commit")
	h.wantCommitted(1, key, "after one run and two duplicates")
	h.mustTransact(h.secondTransactor, key+"2", long, "for another new key")
}

type contextKey struct{}

func transactValues(h *harness) {
	ctx, cancel := context.WithCancel(context.WithValue(h.ctx, contextKey{}, "the caller's"))
	defer cancel()
	var value any
	ended := false
	tx := h.transact(ctx, h.firstTransactor, key, long, func(ctx context.Context) error {
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
		h.t.Errorf("a value of the caller's context is %v in the context of the function", value)
	}
	if !ended {
		h.t.Errorf("the caller's context was canceled, and the context of the function did not end: Transact returned %v",
			tx.err)
	}
}

func transactRaces(h *harness) {
	h.repeatRace(func(keys []string) {
		runs := make([]atomic.Int64, len(keys))
		errs := make([]error, racers)
		inStep(racers, len(keys), func(racer, i int) {
			for end := time.Now().Add(limit); errs[racer] == nil; {
				tx := h.transact(h.ctx, h.transactor(racer), keys[i], long, h.sometimesSlow(i))
				runs[i].Add(int64(tx.runs))
				switch {
				case tx.err != nil:
					errs[racer] = tx.err
				case tx.state == geminihook.InProgress && time.Now().Before(end):
					h.wait(time.Millisecond)
					continue
				case tx.state != geminihook.Acquired && tx.state != geminihook.Done:
					errs[racer] = fmt.Errorf("the state is %s in the end", tx.state)
				}
				return
			}
		})
		h.wantNoError(errors.Join(errs...), "Transact in a race")
		for i, k := range keys {
			if n := runs[i].Load(); n != 1 {
				h.t.Fatalf("%d callers transacted a key at once, and the function ran %d times, want 1",
					racers, n)
			}
			h.wantCommitted(1, k, "after a race")
		}
	})
}

func transactDoesNotWait(h *harness) {
	var same, other transaction
	tx := h.transact(h.ctx, h.firstTransactor, key, long, func(context.Context) error {
		ctx, cancel := context.WithTimeout(h.ctx, limit/2)
		defer cancel()
		same = h.transact(ctx, h.firstTransactor, key, long, succeed)
		if h.waits {
			ctx, cancel = context.WithTimeout(h.ctx, 2*short)
			defer cancel()
		}
		other = h.transact(ctx, h.secondTransactor, key, long, succeed)
		return nil
	})
	h.wantNoError(tx.err, "Transact")
	const another = "another handle"
	for handle, got := range map[string]transaction{"the same handle": same, another: other} {
		if got.runs != 0 {
			h.t.Fatalf("while a transaction of the key ran, Transact of %s ran the function",
				handle)
		}
		if h.waits && handle == another && got.err != nil {
			continue
		}
		if got.err != nil || got.state != geminihook.InProgress {
			h.t.Fatalf("while a transaction of the key ran, Transact of %s returned %s and the error %v, want InProgress and no error",
				handle, got.state, got.err)
		}
	}
	h.wantNoRun(geminihook.Done, h.secondTransactor, key, "after a commit")
	h.wantCommitted(1, key, "after a commit")
}

func transactDoneEnds(h *harness) {
	h.wantExpiry(expiring{
		what: "the keep", state: geminihook.Done,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			before := h.now()
			return before, h.transact(h.ctx, h.firstTransactor, key, d, succeed).err
		},
		probe: func(key string) geminihook.State {
			tx := h.transact(h.ctx, h.secondTransactor, key, long, succeed)
			h.wantNoError(tx.err, "Transact")
			return tx.state
		},
	})
}

func transactHostileKeys(h *harness) {
	for _, k := range keys() {
		h.mustTransact(h.firstTransactor, k, long, fmt.Sprintf("for the new key %q", k))
	}
	for _, k := range keys() {
		h.wantNoRun(geminihook.Done, h.secondTransactor, k, fmt.Sprintf("after a commit of %q", k))
	}
}

func transactCanceled(h *harness) {
	ctx, cancel := context.WithCancel(h.ctx)
	cancel()
	tx := h.transact(ctx, h.firstTransactor, key, long, succeed)
	h.wantFailure(tx.err, "Transact with a canceled context")
	if tx.runs != 0 {
		h.t.Errorf("Transact with a canceled context ran the function")
	}
	h.mustTransact(h.firstTransactor, key, long, "after Transact with a canceled context")
}

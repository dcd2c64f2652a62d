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
		name: "transact commits", test: transactCommits,
		contract: "Transact with a function that returns nil is Acquired, and commits mark and writes together. Afterwards it is Done, and the function does not run.",
	},
	{
		name: "transact passes context values", test: transactValues,
		contract: "The context of the function is derived from the caller's: values such as the event and the trace are found in it, and its end is seen.",
	},
	{
		name: "transact runs once under races", test: transactRaces,
		contract: "Of all who transact a key at once, one runs the function and commits; the others are InProgress while it runs, and then Done.",
	},
	{
		name: "transact does not wait for another", test: transactDoesNotWait,
		contract: "Transact of a key whose transaction runs is InProgress at once. Waiting holds a connection, and the sender.",
	},
	{
		name: "transact done ends after keep", test: transactDoneEnds,
		contract: "The mark is Done until keep has passed, then the key is free. InProgress is only for a key that somebody holds.",
	},
	{
		name: "transact respects claims", test: transactRespectsClaims,
		contract: "Transact sees what Claim, Complete and Release did, so that instances can change from one to the other while both run.",
	},
	{
		name: "transact is respected by claims", test: transactRespected,
		contract: "Claim of a key whose transaction runs is InProgress or waits until its context ends, and is never Acquired.",
	},
	{
		name: "transact hostile keys", test: transactHostileKeys,
		contract: "A key is any text that an HTTP header can hold, and is compared byte for byte.",
	},
	{
		name: "transact canceled context", test: transactCanceled,
		contract: "Transact with a context that has ended does not run the function, and returns an error.",
	},
	{
		name: "transact gone", gone: true, test: transactGone,
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
func (h *harness) transact(ctx context.Context, store geminihook.Store, key string, keep time.Duration, fn func(context.Context) error) (tx transaction) {
	transactor, ok := store.(geminihook.Transactor)
	if !ok {
		tx.err = fmt.Errorf("storetest: Suite.Second returned a %T, which is not a Transactor, although the first handle is", store)
		return tx
	}
	tx.state, tx.err = transactor.Transact(ctx, key, keep, func(ctx context.Context) error {
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
func (h *harness) runs(store geminihook.Store, key string, keep time.Duration, when string) {
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
func (h *harness) runsNot(want geminihook.State, store geminihook.Store, key, when string) {
	h.Helper()
	tx := h.transact(h.Context(), store, key, long, succeed)
	if tx.err != nil || tx.state != want || tx.runs != 0 {
		h.Fatalf("%s, Transact returned %s and the error %v, and the function ran %d times, want %s, no error, and no run",
			when, nameOf(tx.state), tx.err, tx.runs, nameOf(want))
	}
}

func transactCommits(h *harness) {
	h.runs(h.first, key, long, "for a new key")
	h.runsNot(geminihook.Done, h.first, key, "after a commit")
	h.runsNot(geminihook.Done, h.second, key, "after a commit")
	h.committed(1, key, "after one run and two duplicates")
	h.runs(h.second, key+"2", long, "for another new key")
}

type contextKey struct{}

func transactValues(h *harness) {
	ctx, cancel := context.WithCancel(context.WithValue(h.Context(), contextKey{}, "the caller's"))
	defer cancel()
	var value any
	ended := false
	tx := h.transact(ctx, h.first, key, long, func(ctx context.Context) error {
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
				tx := h.transact(h.Context(), h.handle(racer), keys[i], long, func(context.Context) error {
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
	var second transaction
	tx := h.transact(h.Context(), h.first, key, long, func(context.Context) error {
		ctx, cancel := context.WithTimeout(h.Context(), limit/2)
		defer cancel()
		second = h.transact(ctx, h.second, key, long, succeed)
		return nil
	})
	if second.err != nil || second.state != geminihook.InProgress || second.runs != 0 {
		h.Fatalf("while a transaction of the key ran, Transact returned %s and the error %v, and the function ran %d times, want InProgress, no error, and no run",
			nameOf(second.state), second.err, second.runs)
	}
	h.ok(tx.err, "Transact")
	h.runsNot(geminihook.Done, h.second, key, "after a commit")
	h.committed(1, key, "after a commit")
}

func transactDoneEnds(h *harness) {
	h.holds(holding{
		what: "the keep", state: geminihook.Done,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			before := h.now()
			return before, h.transact(h.Context(), h.first, key, d, succeed).err
		},
		probe: func(key string) geminihook.State {
			tx := h.transact(h.Context(), h.second, key, long, succeed)
			h.ok(tx.err, "Transact")
			return tx.state
		},
	})
}

func transactRespectsClaims(h *harness) {
	c := h.acquired(h.first, key, long, long)
	h.runsNot(geminihook.InProgress, h.second, key, "while the lease of a claim runs")
	h.ok(h.first.Release(h.Context(), key, c.Token), "Release")
	h.runs(h.second, key, long, "after Release")
	h.expect(geminihook.Done, h.first, key, "after a commit")
	h.lost(h.first.Complete(h.Context(), key, c.Token, long), "Complete of a claim that was released before Transact committed")

	c = h.acquired(h.first, key+"2", long, long)
	h.ok(h.first.Complete(h.Context(), key+"2", c.Token, long), "Complete")
	h.runsNot(geminihook.Done, h.second, key+"2", "after Complete")

	c = h.acquired(h.first, key+"3", short, long)
	h.pass(2 * short)
	h.runs(h.second, key+"3", long, "after the lease of a claim had ended")
	h.lost(h.first.Complete(h.Context(), key+"3", c.Token, long), "Complete of a lapsed claim, after Transact committed,")
}

func transactRespected(h *harness) {
	var c geminihook.Claim
	var err error
	tx := h.transact(h.Context(), h.first, key, long, func(context.Context) error {
		ctx, cancel := context.WithTimeout(h.Context(), 2*short)
		defer cancel()
		c, err = h.second.Claim(ctx, key, long, long)
		return nil
	})
	h.ok(tx.err, "Transact")
	if err == nil && c.State != geminihook.InProgress {
		h.Fatalf("while a transaction of the key ran, Claim returned %s, want InProgress, or an error at the end of the context", nameOf(c.State))
	}
	h.expect(geminihook.Done, h.second, key, "after a commit")
}

func transactHostileKeys(h *harness) {
	for _, k := range keys() {
		h.runs(h.first, k, long, fmt.Sprintf("for the new key %q", k))
	}
	for _, k := range keys() {
		h.runsNot(geminihook.Done, h.second, k, fmt.Sprintf("after a commit of %q", k))
	}
}

func transactCanceled(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	tx := h.transact(ctx, h.first, key, long, succeed)
	h.failed(tx.err, "Transact with a canceled context")
	if tx.runs != 0 {
		h.Errorf("Transact with a canceled context ran the function")
	}
	h.runs(h.first, key, long, "after Transact with a canceled context")
}

package storetest

import (
	"context"
	"errors"
	"fmt"
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

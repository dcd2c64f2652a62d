package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/geminihook/geminihook"
)

// sideBySideBehaviors are about a store that is also a transactor, used as both
// at the same time.
var sideBySideBehaviors = []behavior{
	{
		name: "respects claims", needs: needsStore, test: transactRespectsClaims,
		why: "Instances can change from leases to transactions while others run.",
	},
	{
		name: "is respected by claims", needs: needsStore, test: claimRespectsTransact,
		why: "Instances can change from transactions to leases while others run.",
	},
	{
		name: "claims after a rollback", needs: needsStore, test: claimAfterRollback,
		why: "A transaction that is rolled back leaves nothing behind, and only claims count as attempts.",
	},
	{
		name: "claims after keep", needs: needsStore, test: claimAfterKeep,
		why: "A mark is a mark, whoever made it.",
	},
	{
		name: "one winner of claims and transactions", needs: needsStore, test: sideBySideRace,
		why: "Otherwise one event runs twice at the same time.",
	},
}

func transactRespectsClaims(h *harness) {
	c := h.mustAcquire(h.first, key, long, long)
	h.wantNoRun(geminihook.InProgress, h.secondTransactor, key, "while the lease of a claim runs")
	h.wantNoError(h.first.Release(h.ctx, key, c.Token), "Release")
	h.mustTransact(h.secondTransactor, key, long, "after Release")
	h.wantState(geminihook.Done, h.first, key, "after a commit")
	h.wantLeaseLost(h.first.Complete(h.ctx, key, c.Token, long),
		"Complete of a claim that was released before Transact committed")

	c = h.mustAcquire(h.first, key+"2", long, long)
	h.wantNoError(h.first.Complete(h.ctx, key+"2", c.Token, long), "Complete")
	h.wantNoRun(geminihook.Done, h.secondTransactor, key+"2", "after Complete")

	c = h.mustAcquire(h.first, key+"3", short, long)
	h.pass(2 * short)
	h.mustTransact(h.secondTransactor, key+"3", long, "after the lease of a claim had ended")
	const after = " of a claim whose lease had ended, after Transact committed,"
	h.wantLeaseLost(h.first.Complete(h.ctx, key+"3", c.Token, long), "Complete"+after)
	h.wantLeaseLost(h.first.Renew(h.ctx, key+"3", c.Token, long), "Renew"+after)
	h.wantLeaseLost(h.first.Release(h.ctx, key+"3", c.Token), "Release"+after)
	if again := h.claimWith(h.first, key+"3", c.Token, long, long); again.State != geminihook.Done {
		h.t.Fatalf(
			"after a commit, Claim with the token of an earlier claim returned %s, want Done",
			again.State)
	}
}

func claimRespectsTransact(h *harness) {
	earlier := h.mustAcquire(h.first, key, time.Millisecond, long)
	h.pass(4 * step)
	type result struct {
		claim geminihook.Claim
		err   error
	}
	var results []result
	tx := h.transact(h.ctx, h.firstTransactor, key, long, func(context.Context) error {
		for i, token := range []string{rand.Text(), earlier.Token, rand.Text(), earlier.Token} {
			timeout := limit / 4
			if h.waits {
				timeout = 2 * short
			}
			ctx, cancel := context.WithTimeout(h.ctx, timeout)
			c, err := h.handle(i/2).Claim(ctx, key, token, long, long)
			cancel()
			results = append(results, result{c, err})
		}
		return nil
	})
	h.wantNoError(tx.err, "Transact")
	for _, r := range results {
		if r.err != nil && h.waits {
			continue
		}
		if r.err != nil || r.claim.State != geminihook.InProgress {
			h.t.Fatalf("while a transaction of the key ran, Claim returned %s and the error %v, want InProgress and no error",
				r.claim.State, r.err)
		}
	}
	h.wantState(geminihook.Done, h.second, key, "after a commit")
	h.wantCommitted(1, key, "after a commit")
}

func claimAfterRollback(h *harness) {
	for _, attempts := range []int{0, 2} {
		k := key + string(rune('0'+attempts))
		for range attempts {
			c := h.mustAcquire(h.first, k, long, long)
			h.wantNoError(h.first.Release(h.ctx, k, c.Token), "Release")
		}
		tx := h.transact(h.ctx, h.firstTransactor, k, long, fail(errOwn))
		if !errors.Is(tx.err, errOwn) {
			h.t.Fatalf("the function returned an error, and Transact returned %v, want the same error",
				tx.err)
		}
		c := h.claimWhenFree(h.second, k, long, long)
		h.wantAttempt(attempts+1, c, "after a transaction that was rolled back")
		h.wantNoError(h.second.Complete(h.ctx, k, c.Token, long), "Complete")
	}
}

func claimAfterKeep(h *harness) {
	var last claim
	h.wantExpiry(expiring{
		what: "the keep of Transact", state: geminihook.Done,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			c := h.mustAcquire(h.first, key, long, long)
			h.wantNoError(h.first.Release(h.ctx, key, c.Token), "Release")
			before := h.now()
			return before, h.transact(h.ctx, h.firstTransactor, key, d, succeed).err
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.wantAttempt(1, last, "after the keep of Transact has passed")
}

// sideBySideRace lets half of the racers claim and the others transact.
func sideBySideRace(h *harness) {
	h.repeatRace(func(keys []string) {
		results := make([][racers]call, len(keys))
		transactions := make([][racers]transaction, len(keys))
		inStep(racers, len(keys), func(racer, i int) {
			if (racer+i)%4 < 2 {
				results[i][racer] = h.claimCall(keys)(h.handle(racer), i)
				return
			}
			tx := h.transact(h.ctx, h.transactor(racer), keys[i], long, h.sometimesSlow(i))
			transactions[i][racer] = tx
			state := claim{Claim: geminihook.Claim{State: tx.state}}
			results[i][racer] = call{claim: state, err: tx.err}
		})
		for i, k := range keys {
			won, _ := h.winner(k, "or transacted a new key", results[i][:])
			runs := 0
			for _, tx := range transactions[i] {
				runs += tx.runs
			}
			switch {
			case won.Token != "" && runs == 0: // a claim won
				h.wantNoError(h.first.Complete(h.ctx, k, won.Token, long),
					"Complete of the claim that won")
			case won.Token == "" && runs == 1:
			default:
				h.t.Fatalf("%d callers claimed or transacted a key at once: the function ran %d times, and the token of the claim that won is %q",
					racers, runs, won.Token)
			}
			h.wantCommitted(runs, k, "after a race")
			h.wantState(geminihook.Done, h.second, k, "after a race")
		}
	})
}

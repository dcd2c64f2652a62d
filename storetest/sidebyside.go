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
		contract: "Transact sees what Claim, Complete and Release did, so that instances can change from one to the other while both run.",
	},
	{
		name: "is respected by claims", needs: needsStore, test: claimRespectsTransact,
		contract: "Claim of a key whose transaction runs is InProgress, also with the token of an earlier claim. " +
			"With TransactorSuite.Waits, it may wait until its context ends. It is never Acquired.",
	},
	{
		name: "claims after a rollback", needs: needsStore, test: claimAfterRollback,
		contract: "A transaction that is rolled back leaves the key as it was: the next Claim is Acquired, and only claims count as attempts.",
	},
	{
		name: "claims after keep", needs: needsStore, test: claimAfterKeep,
		contract: "The mark of a transaction is Done for Claim until keep has passed. Then the key is forgotten, and the next Claim has Attempt 1.",
	},
	{
		name: "one winner of claims and transactions", needs: needsStore, test: sideBySideRace,
		contract: "Of all who claim or transact a key at once, one is Acquired. Otherwise one event runs twice at the same time.",
	},
}

func transactRespectsClaims(h *harness) {
	c := h.acquired(h.first, key, long, long)
	h.runsNot(geminihook.InProgress, h.transactor2, key, "while the lease of a claim runs")
	h.ok(h.first.Release(h.Context(), key, c.Token), "Release")
	h.runs(h.transactor2, key, long, "after Release")
	h.expect(geminihook.Done, h.first, key, "after a commit")
	h.lost(h.first.Complete(h.Context(), key, c.Token, long), "Complete of a claim that was released before Transact committed")

	c = h.acquired(h.first, key+"2", long, long)
	h.ok(h.first.Complete(h.Context(), key+"2", c.Token, long), "Complete")
	h.runsNot(geminihook.Done, h.transactor2, key+"2", "after Complete")

	c = h.acquired(h.first, key+"3", short, long)
	h.pass(2 * short)
	h.runs(h.transactor2, key+"3", long, "after the lease of a claim had ended")
	const after = " of a claim whose lease had ended, after Transact committed,"
	h.lost(h.first.Complete(h.Context(), key+"3", c.Token, long), "Complete"+after)
	h.lost(h.first.Renew(h.Context(), key+"3", c.Token, long), "Renew"+after)
	h.lost(h.first.Release(h.Context(), key+"3", c.Token), "Release"+after)
	if again := h.claimWith(h.first, key+"3", c.Token, long, long); again.State != geminihook.Done {
		h.Fatalf("after a commit, Claim with the token of an earlier claim returned %s, want Done", nameOf(again.State))
	}
}

func claimRespectsTransact(h *harness) {
	earlier := h.acquired(h.first, key, time.Millisecond, long)
	h.pass(4 * step)
	type result struct {
		claim geminihook.Claim
		err   error
	}
	var results []result
	tx := h.transact(h.Context(), h.transactor1, key, long, func(context.Context) error {
		for i, token := range []string{rand.Text(), earlier.Token, rand.Text(), earlier.Token} {
			timeout := limit / 4
			if h.waits {
				timeout = 2 * short
			}
			ctx, cancel := context.WithTimeout(h.Context(), timeout)
			c, err := h.handle(i/2).Claim(ctx, key, token, long, long)
			cancel()
			results = append(results, result{c, err})
		}
		return nil
	})
	h.ok(tx.err, "Transact")
	for _, r := range results {
		if r.err != nil && h.waits {
			continue
		}
		if r.err != nil || r.claim.State != geminihook.InProgress {
			h.Fatalf("while a transaction of the key ran, Claim returned %s and the error %v, want InProgress and no error",
				nameOf(r.claim.State), r.err)
		}
	}
	h.expect(geminihook.Done, h.second, key, "after a commit")
	h.committed(1, key, "after a commit")
}

func claimAfterRollback(h *harness) {
	for _, attempts := range []int{0, 2} {
		k := key + string(rune('0'+attempts))
		for range attempts {
			c := h.acquired(h.first, k, long, long)
			h.ok(h.first.Release(h.Context(), k, c.Token), "Release")
		}
		tx := h.transact(h.Context(), h.transactor1, k, long, func(context.Context) error { return errOwn })
		if !errors.Is(tx.err, errOwn) {
			h.Fatalf("the function returned an error, and Transact returned %v, want the same error", tx.err)
		}
		c := h.afterwards(h.second, k, long, long)
		h.attempt(attempts+1, c, "after a transaction that was rolled back")
		h.ok(h.second.Complete(h.Context(), k, c.Token, long), "Complete")
	}
}

func claimAfterKeep(h *harness) {
	var last claim
	h.holds(holding{
		what: "the keep of Transact", state: geminihook.Done,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			c := h.acquired(h.first, key, long, long)
			h.ok(h.first.Release(h.Context(), key, c.Token), "Release")
			before := h.now()
			return before, h.transact(h.Context(), h.transactor1, key, d, succeed).err
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.attempt(1, last, "after the keep of Transact has passed")
}

// sideBySideRace lets half of the racers claim and the others transact.
func sideBySideRace(h *harness) {
	h.rounds(func(keys []string) {
		results := make([][racers]call, len(keys))
		transactions := make([][racers]transaction, len(keys))
		walk(racers, len(keys), func(racer, i int) {
			if (racer+i)%4 < 2 {
				results[i][racer] = h.claiming(keys)(h.handle(racer), i)
				return
			}
			tx := h.transact(h.Context(), h.transactor(racer), keys[i], long, succeed)
			transactions[i][racer] = tx
			results[i][racer] = call{claim: claim{Claim: geminihook.Claim{State: tx.state}}, err: tx.err}
		})
		for i, k := range keys {
			won, _ := h.winner(k, "or transacted a new key", results[i][:])
			runs := 0
			for _, tx := range transactions[i] {
				runs += tx.runs
			}
			switch {
			case won.Token != "" && runs == 0: // a claim won
				h.ok(h.first.Complete(h.Context(), k, won.Token, long), "Complete of the claim that won")
			case won.Token == "" && runs == 1:
			default:
				h.Fatalf("%d callers claimed or transacted a key at once: the function ran %d times, and the token of the claim that won is %q",
					racers, runs, won.Token)
			}
			h.committed(runs, k, "after a race")
			h.expect(geminihook.Done, h.second, k, "after a race")
		}
	})
}

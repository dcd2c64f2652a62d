package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// renewBehaviors are about Renew.
var renewBehaviors = []behavior{
	{
		name: "renew extends the lease", test: renewExtends,
		why: "Otherwise a second run begins while a long one is active.",
	},
	{
		name: "renew counts from now", test: renewCounts,
		why: "Otherwise a crash is noticed too late.",
	},
	{
		name: "renew keeps the entry", test: renewKeeps,
		why: "Otherwise the key is claimed as a new one while its run is active.",
	},
	{
		name: "renew does not shorten keep", test: renewRemembers,
		why: "Otherwise the count of attempts starts again.",
	},
	{
		name: "late renew", test: lateRenew,
		why: "Giving up the key would let a second run begin while this one continues.",
	},
	{
		name: "renew with a stale token", test: renewStale,
		why: "A run learns from it that it must stop.",
	},
	{
		name: "renew against a takeover", test: renewRace,
		why: "If both succeed, two runs of one event are active at once.",
	},
	{
		name: "renew with a canceled context", test: renewCanceled,
		why: "The caller takes it for a failure, so nothing may have changed.",
	},
}

func renewExtends(h *harness) {
	c := h.mustAcquire(h.first, key, short, day)
	h.wantNoError(h.first.Renew(h.ctx, key, c.Token, long), "Renew")
	h.pass(2 * short)
	got := h.wantState(geminihook.InProgress, h.second, key,
		fmt.Sprintf("after Renew of a lease of %v to %v", short, long))
	if got.RetryIn <= long/2 || got.RetryIn > long {
		h.t.Errorf("after Renew to %v, Claim returned InProgress with RetryIn %v",
			long, got.RetryIn)
	}
	h.wantNoError(h.second.Renew(h.ctx, key, c.Token, long), "Renew through the second handle")
	h.wantNoError(h.first.Release(h.ctx, key, c.Token), "Release of a renewed claim")
	c = h.mustAcquire(h.second, key, long, day)
	h.wantAttempt(2, c, "after Release of a claim that was renewed twice")
	h.wantNoError(h.first.Renew(h.ctx, key, c.Token, long), "Renew")
	h.wantNoError(h.second.Complete(h.ctx, key, c.Token, long), "Complete of a renewed claim")
	h.wantState(geminihook.Done, h.first, key, "after Complete of a renewed claim")
}

func renewCounts(h *harness) {
	var last claim
	h.wantExpiry(expiring{
		what: "the renewed lease", state: geminihook.InProgress,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			c := h.mustAcquire(h.first, key, long, day)
			h.pass(d / 2)
			before := h.now()
			return before, h.first.Renew(h.ctx, key, c.Token, d)
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.wantAttempt(2, last, "after a renewed lease")
}

func renewKeeps(h *harness) {
	h.tryLonger(short, func(k string, d time.Duration) bool {
		before := h.now()
		c := h.mustAcquire(h.first, k, d, d)
		err := h.first.Renew(h.ctx, k, c.Token, long)
		if errors.Is(err, geminihook.ErrLeaseLost) && h.now()-before >= d {
			return false // it may have been forgotten by then
		}
		h.wantNoError(err, "Renew")
		h.pass(2 * d)
		h.wantState(geminihook.InProgress, h.second, k,
			fmt.Sprintf("%v after a claim with a keep of %v that was renewed for %v", 2*d, d, long))
		h.wantNoError(h.first.Complete(h.ctx, k, c.Token, long), "Complete of a renewed claim")
		return true
	})
}

func renewRemembers(h *harness) {
	c := h.mustAcquire(h.first, key, long, day)
	h.wantNoError(h.first.Renew(h.ctx, key, c.Token, short), "Renew")
	h.passLongTime()
	h.wantAttempt(2, h.mustAcquire(h.second, key, long, long),
		"long after a renewed lease, within the keep of the claim")
}

func lateRenew(h *harness) {
	c := h.mustAcquire(h.first, key, short, day)
	h.pass(2 * short)
	h.wantNoError(h.first.Renew(h.ctx, key, c.Token, long),
		"Renew after the lease, of a key that nobody else claimed,")
	h.wantState(geminihook.InProgress, h.second, key, "after a late Renew")
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long), "Complete after a late Renew")
}

func renewStale(h *harness) {
	lost := func(key, token, call string) {
		h.t.Helper()
		h.wantLeaseLost(h.first.Renew(h.ctx, key, token, time.Millisecond), call)
		h.wantLeaseLost(h.first.Renew(h.ctx, key, token, 2*day), call)
	}
	lost(key, "x", "Renew of an unknown key")
	first := h.mustAcquire(h.first, key, short, day)
	h.wantAttempt(1, first, "after Renew of an unknown key")
	second := h.claimWhenFree(h.second, key, long, day)
	for _, token := range []string{first.Token, "", "x", "\x00", "\xff"} {
		lost(key, token, "Renew with a token that does not hold the key")
	}
	h.pass(short)
	c := h.wantState(geminihook.InProgress, h.first, key, "while another claim has the key")
	if c.RetryIn > long {
		h.t.Errorf("after Renew with a token that does not hold the key, RetryIn is %v, and the lease was %v",
			c.RetryIn, long)
	}
	h.wantNoError(h.second.Release(h.ctx, key, second.Token), "Release")
	lost(key, second.Token, "Renew after Release")
	third := h.mustAcquire(h.second, key, long, day)
	h.wantNoError(h.second.Complete(h.ctx, key, third.Token, long), "Complete")
	lost(key, third.Token, "Renew after Complete")
	h.pass(short)
	h.wantState(geminihook.Done, h.first, key, "after Complete and a refused Renew")
}

func renewRace(h *harness) {
	h.repeatRace(func(keys []string) {
		tokens := h.claimUntilExpired(keys)
		renew := func(store geminihook.Store, i int) error {
			return store.Renew(h.ctx, keys[i], tokens[i], long)
		}
		for i, calls := range h.race(keys, h.withClaims(keys, renew)...) {
			h.checkTakeover(keys[i], "Renew", geminihook.InProgress, calls)
			if calls[0].err == nil {
				h.wantNoError(h.first.Complete(h.ctx, keys[i], tokens[i], long),
					"Complete of a renewed claim")
			}
		}
	})
}

func renewCanceled(h *harness) {
	ctx, cancel := context.WithCancel(h.ctx)
	cancel()
	c := h.mustAcquire(h.first, key, long, day)
	h.wantFailure(h.first.Renew(ctx, key, c.Token, time.Millisecond),
		"Renew with a canceled context")
	h.pass(short)
	h.wantState(geminihook.InProgress, h.second, key, "after Renew with a canceled context")
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long), "Complete")
}

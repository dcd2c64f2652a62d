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
		contract: "Renew makes the lease end after the given time, counted from now: the key stays InProgress, RetryIn shows the new lease, " +
			"and token and count of attempts stay. Otherwise a second run begins while a long one is at work.",
	},
	{
		name: "renew counts from now", test: renewCounts,
		contract: "A renewed lease ends when the time given to Renew has passed since Renew, also if the lease was longer before. " +
			"Otherwise a crash is noticed too late.",
	},
	{
		name: "renew keeps the entry", test: renewKeeps,
		contract: "A key is not forgotten while its renewed lease runs, even if the keep of the claim passes. " +
			"Otherwise the key is claimed as a new one while its run is active.",
	},
	{
		name: "renew does not shorten keep", test: renewRemembers,
		contract: "A renewed key that is not completed is remembered for the keep of its claim, long after the renewed lease. " +
			"Otherwise the count of attempts starts again.",
	},
	{
		name: "late renew", test: lateRenew,
		contract: "Renew succeeds after the lease has ended, as long as nobody else has claimed the key. " +
			"Giving up the key would let a second run begin while this one continues.",
	},
	{
		name: "renew with a stale token", test: renewStale,
		contract: "Renew is ErrLeaseLost, and changes nothing, once another claim has taken the key, and for a key that was completed, released or never claimed. " +
			"A run learns from it that it must stop.",
	},
	{
		name: "renew against a takeover", test: renewRace,
		contract: "Renew is atomic: when the lease has ended, either Renew succeeds, or another claim takes the key and Renew is ErrLeaseLost. " +
			"If both succeed, two runs of one event are active at once.",
	},
	{
		name: "renew with a canceled context", test: renewCanceled,
		contract: "Renew with a context that has ended returns an error that is not ErrLeaseLost, and changes nothing.",
	},
}

func renewExtends(h *harness) {
	c := h.acquired(h.first, key, short, day)
	h.ok(h.first.Renew(h.Context(), key, c.Token, long), "Renew")
	h.pass(2 * short)
	got := h.expect(geminihook.InProgress, h.second, key, fmt.Sprintf("after Renew of a lease of %v to %v", short, long))
	if got.RetryIn <= long/2 || got.RetryIn > long {
		h.Errorf("after Renew to %v, Claim returned InProgress with RetryIn %v", long, got.RetryIn)
	}
	h.ok(h.second.Renew(h.Context(), key, c.Token, long), "Renew through the second handle")
	h.ok(h.first.Release(h.Context(), key, c.Token), "Release of a renewed claim")
	c = h.acquired(h.second, key, long, day)
	h.attempt(2, c, "after Release of a claim that was renewed twice")
	h.ok(h.first.Renew(h.Context(), key, c.Token, long), "Renew")
	h.ok(h.second.Complete(h.Context(), key, c.Token, long), "Complete of a renewed claim")
	h.expect(geminihook.Done, h.first, key, "after Complete of a renewed claim")
}

func renewCounts(h *harness) {
	var last claim
	h.holds(holding{
		what: "the renewed lease", state: geminihook.InProgress,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			c := h.acquired(h.first, key, long, day)
			h.pass(d / 2)
			before := h.now()
			return before, h.first.Renew(h.Context(), key, c.Token, d)
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.attempt(2, last, "after a renewed lease")
}

func renewKeeps(h *harness) {
	h.within(short, func(k string, d time.Duration) bool {
		before := h.now()
		c := h.acquired(h.first, k, d, d)
		err := h.first.Renew(h.Context(), k, c.Token, long)
		if errors.Is(err, geminihook.ErrLeaseLost) && h.now()-before >= d {
			return false // it may have been forgotten by then
		}
		h.ok(err, "Renew")
		h.pass(2 * d)
		h.expect(geminihook.InProgress, h.second, k, fmt.Sprintf("%v after a claim with a keep of %v that was renewed for %v", 2*d, d, long))
		h.ok(h.first.Complete(h.Context(), k, c.Token, long), "Complete of a renewed claim")
		return true
	})
}

func renewRemembers(h *harness) {
	c := h.acquired(h.first, key, long, day)
	h.ok(h.first.Renew(h.Context(), key, c.Token, short), "Renew")
	h.linger()
	h.attempt(2, h.acquired(h.second, key, long, long), "long after a renewed lease, within the keep of the claim")
}

func lateRenew(h *harness) {
	c := h.acquired(h.first, key, short, day)
	h.pass(2 * short)
	h.ok(h.first.Renew(h.Context(), key, c.Token, long), "Renew after the lease, of a key that nobody else claimed,")
	h.expect(geminihook.InProgress, h.second, key, "after a late Renew")
	h.ok(h.first.Complete(h.Context(), key, c.Token, long), "Complete after a late Renew")
}

func renewStale(h *harness) {
	lost := func(key, token, call string) {
		h.Helper()
		h.lost(h.first.Renew(h.Context(), key, token, time.Millisecond), call)
		h.lost(h.first.Renew(h.Context(), key, token, 2*day), call)
	}
	lost(key, "x", "Renew of an unknown key")
	first := h.acquired(h.first, key, short, day)
	h.attempt(1, first, "after Renew of an unknown key")
	second := h.afterwards(h.second, key, long, day)
	for _, token := range []string{first.Token, "", "x", "\x00", "\xff"} {
		lost(key, token, "Renew with a token that does not hold the key")
	}
	h.pass(short)
	if c := h.expect(geminihook.InProgress, h.first, key, "while another claim holds the key"); c.RetryIn > long {
		h.Errorf("after Renew with a token that does not hold the key, RetryIn is %v, and the lease was %v", c.RetryIn, long)
	}
	h.ok(h.second.Release(h.Context(), key, second.Token), "Release")
	lost(key, second.Token, "Renew after Release")
	third := h.acquired(h.second, key, long, day)
	h.ok(h.second.Complete(h.Context(), key, third.Token, long), "Complete")
	lost(key, third.Token, "Renew after Complete")
	h.pass(short)
	h.expect(geminihook.Done, h.first, key, "after Complete and a refused Renew")
}

func renewRace(h *harness) {
	h.rounds(func(keys []string) {
		tokens := h.lapse(keys)
		renew := func(store geminihook.Store, i int) error {
			return store.Renew(h.Context(), keys[i], tokens[i], long)
		}
		for i, calls := range h.race(keys, h.against(keys, renew)...) {
			h.tookOver(keys[i], "Renew", geminihook.InProgress, calls)
			if calls[0].err == nil {
				h.ok(h.first.Complete(h.Context(), keys[i], tokens[i], long), "Complete of a renewed claim")
			}
		}
	})
}

func renewCanceled(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	c := h.acquired(h.first, key, long, day)
	h.failed(h.first.Renew(ctx, key, c.Token, time.Millisecond), "Renew with a canceled context")
	h.pass(short)
	h.expect(geminihook.InProgress, h.second, key, "after Renew with a canceled context")
	h.ok(h.first.Complete(h.Context(), key, c.Token, long), "Complete")
}

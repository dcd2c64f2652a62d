package storetest

import (
	"errors"
	"time"

	"github.com/geminihook/geminihook"
)

// raceBehaviors are about calls at the same time.
var raceBehaviors = []behavior{
	{
		name: "one winner", test: oneWinner,
		why: "A store that looks first and writes then lets one event run twice at the same time.",
	},
	{
		name: "complete against a takeover", test: completeRace,
		why: "If both succeed, an event that was completed runs again, or one that is still running is taken for done.",
	},
	{
		name: "release against a takeover", test: releaseRace,
		why: "Otherwise a third run begins while the second is active.",
	},
	{
		name: "complete against release", test: completeReleaseRace,
		why: "If both succeed, a completed event runs again, or a failed one is lost.",
	},
}

// winner checks the claims of one key and returns the one that is Acquired, if
// there is one.
func (h *harness) winner(key, kind string, claims []call) (won claim, ok bool) {
	h.t.Helper()
	for _, c := range claims {
		h.checkClaim(key, c.claim.Claim, c.err)
		if c.claim.State != geminihook.Acquired {
			continue
		}
		if ok {
			h.t.Fatalf("%d callers claimed %s at once, and more than one got Acquired",
				len(claims), kind)
		}
		won, ok = c.claim, true
	}
	return won, ok
}

func oneWinner(h *harness) {
	h.repeatRace(func(keys []string) {
		for _, token := range h.raceClaims(keys, "a new key", 1) {
			h.wantNoError(h.first.Release(h.ctx, token.key, token.token),
				"Release of the claim that won")
		}
		tokens := h.raceClaims(keys, "a released key", 2)
		expired := make([]string, len(keys))
		for i, token := range tokens {
			h.wantNoError(h.first.Complete(h.ctx, token.key, token.token, long),
				"Complete of the claim that won")
			expired[i] = token.key + "-expired"
		}
		h.claimUntilExpired(expired)
		for _, token := range h.raceClaims(expired, "a key whose lease had ended", 2) {
			h.wantNoError(h.first.Complete(h.ctx, token.key, token.token, long),
				"Complete of the claim that won")
		}
	})
}

type held struct{ key, token string }

// raceClaims returns the keys with the tokens of the claims that won.
func (h *harness) raceClaims(keys []string, kind string, attempt int) []held {
	h.t.Helper()
	calls := make([]caller, racers)
	for i := range calls {
		calls[i] = h.claimCall(keys)
	}
	holders := make([]held, len(keys))
	for i, claims := range h.race(keys, calls...) {
		won, ok := h.winner(keys[i], kind, claims)
		if !ok { // the store's clock may be late
			won = h.claimWhenFree(h.first, keys[i], long, long)
		}
		h.wantAttempt(attempt, won, "for the claim that won the race for "+kind)
		h.wantState(geminihook.InProgress, h.first, keys[i], "after a race for "+kind)
		holders[i] = held{keys[i], won.Token}
	}
	return holders
}

// claimUntilExpired claims the keys, lets the leases end, and returns the tokens.
func (h *harness) claimUntilExpired(keys []string) (tokens []string) {
	h.t.Helper()
	for _, k := range keys {
		tokens = append(tokens, h.mustAcquire(h.first, k, time.Millisecond, day).Token)
	}
	h.pass(4 * step)
	return tokens
}

func completeRace(h *harness) {
	h.repeatRace(func(keys []string) {
		tokens := h.claimUntilExpired(keys)
		complete := func(store geminihook.Store, i int) error {
			return store.Complete(h.ctx, keys[i], tokens[i], long)
		}
		for i, calls := range h.race(keys, h.withClaims(keys, complete)...) {
			h.checkTakeover(keys[i], "Complete", geminihook.Done, calls)
		}
	})
}

// checkTakeover checks what became of a call that may be repeated, the first half,
// against claims that took over: one side succeeded, and the key is in the
// state that it leaves.
func (h *harness) checkTakeover(key, what string, want geminihook.State, calls []call) {
	h.t.Helper()
	own, claims := calls[:len(calls)/2], calls[len(calls)/2:]
	won, ok := h.winner(key, "a key whose lease had ended, while "+what+" came,", claims)
	succeeded := 0
	for _, c := range own {
		if c.err == nil {
			succeeded++
		} else if !errors.Is(c.err, geminihook.ErrLeaseLost) {
			h.t.Fatalf("%s against another claim failed: %v", what, c.err)
		}
	}
	switch {
	case ok && succeeded > 0:
		h.t.Fatalf("a key whose lease had ended was claimed by another and %s came at the same time: the claim was Acquired, and %s succeeded, too",
			what, what)
	case !ok && succeeded < len(own):
		h.t.Fatalf("a key whose lease had ended was claimed by others and %s came at the same time, %d times: no claim was Acquired, and %s succeeded %d times, want %d",
			what, len(own), what, succeeded, len(own))
	}
	if !ok {
		h.wantState(want, h.first, key, "after "+what+", before which no other claim came")
		return
	}
	h.wantState(geminihook.InProgress, h.first, key,
		"after another claim took the key, and "+what+" was ErrLeaseLost")
	h.wantNoError(h.first.Complete(h.ctx, key, won.Token, long),
		"Complete of the claim that took the key")
}

func releaseRace(h *harness) {
	h.repeatRace(func(keys []string) {
		tokens := h.claimUntilExpired(keys)
		release := func(store geminihook.Store, i int) error {
			return store.Release(h.ctx, keys[i], tokens[i])
		}
		for i, calls := range h.race(keys, h.withClaims(keys, release)...) {
			const kind = "a key whose lease had ended, while Release came,"
			won, ok := h.winner(keys[i], kind, calls[len(calls)/2:])
			releases := 0
			for _, c := range calls[:len(calls)/2] {
				if c.err == nil {
					releases++
				} else {
					h.wantLeaseLost(c.err, "Release against another claim")
				}
			}
			switch {
			case releases > 1:
				h.t.Fatalf("one claim was released %d times at the same time, and %d Releases succeeded, want at most 1",
					racers/2, releases)
			case releases == 0 && !ok:
				h.t.Fatalf("a key whose lease had ended was claimed by others and released at the same time: no claim was Acquired, and no Release succeeded")
			}
			if !ok {
				won = h.claimWhenFree(h.first, keys[i], long, long)
			}
			h.wantState(geminihook.InProgress, h.first, keys[i],
				"after another claim took the key while Release came")
			h.wantNoError(h.first.Complete(h.ctx, keys[i], won.Token, long),
				"Complete of the claim that took the key")
		}
	})
}

func completeReleaseRace(h *harness) {
	h.repeatRace(func(keys []string) {
		tokens := make([]string, len(keys))
		for i, k := range keys {
			tokens[i] = h.mustAcquire(h.first, k, long, long).Token
		}
		complete := func(store geminihook.Store, i int) call {
			return call{err: store.Complete(h.ctx, keys[i], tokens[i], long)}
		}
		release := func(store geminihook.Store, i int) call {
			return call{err: store.Release(h.ctx, keys[i], tokens[i])}
		}
		for i, calls := range h.race(keys, complete, release, complete, release) {
			completes, releases := 0, 0
			for n, c := range calls {
				isComplete := n%2 == 0
				switch {
				case c.err != nil:
					h.wantLeaseLost(c.err, "Complete or Release in a race of both")
				case isComplete:
					completes++
				default:
					releases++
				}
			}
			completed := completes == 2 && releases == 0
			released := completes == 0 && releases == 1
			if !completed && !released {
				h.t.Fatalf("2 callers completed and 2 released a claim at once: %d Completes and %d Releases succeeded, want 2 and 0, or 0 and 1",
					completes, releases)
			}
			want := geminihook.Done
			if released {
				want = geminihook.Acquired
			}
			h.wantState(want, h.first, keys[i], "after a race of Complete and Release")
		}
	})
}

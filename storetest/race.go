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
		contract: "Claim is atomic: of all who claim a key at once, whether it is new, released or lapsed, one is Acquired and the others are InProgress. " +
			"A store that looks first and writes then lets one event run twice at the same time.",
	},
	{
		name: "complete against a takeover", test: completeRace,
		contract: "Complete is atomic: when the lease has ended, either Complete succeeds and the key is Done, or another claim takes the key and " +
			"Complete is ErrLeaseLost. If both succeed, an event that was completed runs again, or one at work is taken for done.",
	},
	{
		name: "release against a takeover", test: releaseRace,
		contract: "Release is atomic: it never frees a key that another claim has taken in the meantime. Otherwise a third run begins while the second is active.",
	},
	{
		name: "complete against release", test: completeReleaseRace,
		contract: "Complete and Release with the same token exclude each other: the one that comes first succeeds, the other is ErrLeaseLost or, " +
			"if it is a repeated Complete, changes nothing. If both succeed, a completed event runs again, or a failed one is lost.",
	},
}

// winner checks the claims of one key and returns the one that is Acquired, if
// there is one.
func (h *harness) winner(key, kind string, claims []call) (won claim, ok bool) {
	h.Helper()
	for _, c := range claims {
		h.valid(key, c.claim.Claim, c.err)
		if c.claim.State != geminihook.Acquired {
			continue
		}
		if ok {
			h.Fatalf("%d callers claimed %s at once, and more than one got Acquired", len(claims), kind)
		}
		won, ok = c.claim, true
	}
	return won, ok
}

func oneWinner(h *harness) {
	h.rounds(func(keys []string) {
		for _, token := range h.raceClaims(keys, "a new key", 1) {
			h.ok(h.first.Release(h.Context(), token.key, token.token), "Release of the claim that won")
		}
		tokens := h.raceClaims(keys, "a released key", 2)
		lapsed := make([]string, len(keys))
		for i, token := range tokens {
			h.ok(h.first.Complete(h.Context(), token.key, token.token, long), "Complete of the claim that won")
			lapsed[i] = token.key + "-lapsed"
		}
		h.lapse(lapsed)
		for _, token := range h.raceClaims(lapsed, "a key whose lease had ended", 2) {
			h.ok(h.first.Complete(h.Context(), token.key, token.token, long), "Complete of the claim that won")
		}
	})
}

type held struct{ key, token string }

// raceClaims returns the keys with the tokens of those who won.
func (h *harness) raceClaims(keys []string, kind string, attempt int) []held {
	h.Helper()
	calls := make([]func(geminihook.Store, int) call, racers)
	for i := range calls {
		calls[i] = h.claiming(keys)
	}
	holders := make([]held, len(keys))
	for i, claims := range h.race(keys, calls...) {
		won, ok := h.winner(keys[i], kind, claims)
		if !ok { // the store's clock may be late
			won = h.afterwards(h.first, keys[i], long, long)
		}
		h.attempt(attempt, won, "for the one who won the race for "+kind)
		h.expect(geminihook.InProgress, h.first, keys[i], "after a race for "+kind)
		holders[i] = held{keys[i], won.Token}
	}
	return holders
}

// lapse claims the keys, lets the leases end, and returns the tokens.
func (h *harness) lapse(keys []string) (tokens []string) {
	h.Helper()
	for _, k := range keys {
		tokens = append(tokens, h.acquired(h.first, k, time.Millisecond, day).Token)
	}
	h.pass(4 * step)
	return tokens
}

func completeRace(h *harness) {
	h.rounds(func(keys []string) {
		tokens := h.lapse(keys)
		complete := func(store geminihook.Store, i int) error {
			return store.Complete(h.Context(), keys[i], tokens[i], long)
		}
		for i, calls := range h.race(keys, h.against(keys, complete)...) {
			h.tookOver(keys[i], "Complete", geminihook.Done, calls)
		}
	})
}

// tookOver checks what became of a call that may be repeated, the first half,
// against claims that took over: one side succeeded, and the key is in the
// state that it leaves.
func (h *harness) tookOver(key, what string, want geminihook.State, calls []call) {
	h.Helper()
	own, claims := calls[:len(calls)/2], calls[len(calls)/2:]
	won, ok := h.winner(key, "a key whose lease had ended, while "+what+" came,", claims)
	succeeded := 0
	for _, c := range own {
		if c.err == nil {
			succeeded++
		} else if !errors.Is(c.err, geminihook.ErrLeaseLost) {
			h.Fatalf("%s against another claim failed: %v", what, c.err)
		}
	}
	switch {
	case ok && succeeded > 0:
		h.Fatalf("a lapsed key was claimed by another and %s came at the same time: the claim was Acquired, and %s succeeded, too", what, what)
	case !ok && succeeded < len(own):
		h.Fatalf("a lapsed key was claimed by others and %s came at the same time, %d times: no claim was Acquired, and %s succeeded %d times, want %d",
			what, len(own), what, succeeded, len(own))
	}
	if !ok {
		h.expect(want, h.first, key, "after "+what+", which no other claim had forestalled")
		return
	}
	h.expect(geminihook.InProgress, h.first, key, "after another claim took the key, and "+what+" was ErrLeaseLost")
	h.ok(h.first.Complete(h.Context(), key, won.Token, long), "Complete of the claim that took the key")
}

func releaseRace(h *harness) {
	h.rounds(func(keys []string) {
		tokens := h.lapse(keys)
		release := func(store geminihook.Store, i int) error {
			return store.Release(h.Context(), keys[i], tokens[i])
		}
		for i, calls := range h.race(keys, h.against(keys, release)...) {
			won, ok := h.winner(keys[i], "a key whose lease had ended, while Release came,", calls[len(calls)/2:])
			releases := 0
			for _, c := range calls[:len(calls)/2] {
				if c.err == nil {
					releases++
				} else {
					h.lost(c.err, "Release against another claim")
				}
			}
			switch {
			case releases > 1:
				h.Fatalf("one claim was released %d times at the same time, and %d Releases succeeded, want at most 1", racers/2, releases)
			case releases == 0 && !ok:
				h.Fatalf("a lapsed key was claimed by others and released at the same time: no claim was Acquired, and no Release succeeded")
			}
			if !ok {
				won = h.afterwards(h.first, keys[i], long, long)
			}
			h.expect(geminihook.InProgress, h.first, keys[i], "after another claim took the key while Release came")
			h.ok(h.first.Complete(h.Context(), keys[i], won.Token, long), "Complete of the claim that took the key")
		}
	})
}

func completeReleaseRace(h *harness) {
	h.rounds(func(keys []string) {
		tokens := make([]string, len(keys))
		for i, k := range keys {
			tokens[i] = h.acquired(h.first, k, long, long).Token
		}
		complete := func(store geminihook.Store, i int) call {
			return call{err: store.Complete(h.Context(), keys[i], tokens[i], long)}
		}
		release := func(store geminihook.Store, i int) call {
			return call{err: store.Release(h.Context(), keys[i], tokens[i])}
		}
		for i, calls := range h.race(keys, complete, release, complete, release) {
			won := map[bool]int{} // by whether it is a Release
			for n, c := range calls {
				if c.err == nil {
					won[n%2 == 1]++
				} else {
					h.lost(c.err, "Complete or Release in a race of both")
				}
			}
			completes, releases := won[false], won[true]
			if completes != 0 && releases != 0 || releases > 1 || completes == 1 || completes+releases == 0 {
				h.Fatalf("2 callers completed and 2 released a claim at once: %d Completes and %d Releases succeeded, want 2 and 0, or 0 and 1",
					completes, releases)
			}
			want := geminihook.Done
			if releases > 0 {
				want = geminihook.Acquired
			}
			h.expect(want, h.first, keys[i], "after a race of Complete and Release")
		}
	})
}

package storetest

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// tokenBehaviors are about the tokens of claims.
var tokenBehaviors = []behavior{
	{
		name: "same token again", test: sameToken,
		contract: "A claim with the token that has the key is Acquired with the same Attempt, and its lease and keep begin anew. " +
			"The response to the first claim may have been lost.",
	},
	{
		name: "same token after the lease", test: sameTokenLate,
		contract: "A claim with the token that has the key is Acquired with the same Attempt even after the lease has ended, unless another claim has taken the key.",
	},
	{
		name: "same token at once", test: sameTokenRace,
		contract: "Claims with the same token at the same time are all Acquired with the same Attempt: a driver may repeat a call while the first is on its way.",
	},
	{
		name: "same token after release", test: sameTokenReleased,
		contract: "After Release, a claim with the token that had the key is a new attempt.",
	},
	{
		name: "same token after complete", test: sameTokenCompleted,
		contract: "After Complete, a claim with the token that completed the key is Done, as any other. Otherwise a handled event is handled again.",
	},
	{
		name: "same token after a takeover", test: sameTokenTaken,
		contract: "Once another claim has taken the key, a claim with an earlier token is a claim like any other: InProgress while the lease runs, then a new attempt.",
	},
	{
		name: "same token for two keys", test: sameTokenTwoKeys,
		contract: "A token belongs to the key that it was used for. With another key, it is a new claim.",
	},
	{
		name: "tokens are apart", test: tokensApart,
		contract: "A token is up to 64 bytes of visible ASCII, compared byte for byte. Otherwise one claim completes or renews another.",
	},
}

func sameToken(h *harness) {
	token := rand.Text()
	again := func(store geminihook.Store, key, when string, attempt int, lease, keep time.Duration) {
		h.Helper()
		c := h.claimWith(store, key, token, lease, keep)
		if c.State != geminihook.Acquired || c.RetryIn != 0 {
			h.Fatalf("%s, Claim with the same token returned %s with RetryIn %v, want Acquired with 0", when, nameOf(c.State), c.RetryIn)
		}
		h.attempt(attempt, c, when+" with the same token")
	}
	again(h.first, key, "for a new key", 1, long, long)
	again(h.first, key, "after a claim", 1, long, long)
	again(h.second, key, "after two claims", 1, long, long)
	h.expect(geminihook.InProgress, h.second, key, "after claims with one token")
	h.ok(h.second.Complete(h.Context(), key, token, long), "Complete with the token of three claims")
	h.expect(geminihook.Done, h.first, key, "after Complete")

	var last claim
	h.holds(holding{
		what: "the lease of a repeated claim", state: geminihook.InProgress,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			again(h.first, key, "for a new key", 1, long, day)
			h.pass(d / 2)
			before := h.now()
			again(h.first, key, "after a claim with a longer lease", 1, d, day)
			return before, nil
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.attempt(2, last, "after the lease of a repeated claim")

	k := key + "2"
	again(h.first, k, "for a new key", 1, short, short)
	again(h.first, k, "after a claim with a shorter lease and keep", 1, long, day)
	h.pass(2 * short)
	h.expect(geminihook.InProgress, h.second, k, fmt.Sprintf("%v after a claim with a lease and a keep of %v that was repeated with %v and %v", 2*short, short, long, day))
	h.ok(h.first.Complete(h.Context(), k, token, long), "Complete of a repeated claim")
}

func sameTokenLate(h *harness) {
	first := h.acquired(h.first, key, short, day)
	h.pass(2 * short)
	again := h.claimWith(h.second, key, first.Token, long, day)
	if again.State != geminihook.Acquired {
		h.Fatalf("after the lease, Claim with the same token returned %s, want Acquired", nameOf(again.State))
	}
	h.attempt(1, again, "after the lease, with the same token")
	h.expect(geminihook.InProgress, h.first, key, "after a claim with the same token")
	h.ok(h.first.Complete(h.Context(), key, first.Token, long), "Complete")
}

func sameTokenRace(h *harness) {
	h.rounds(func(keys []string) {
		same := func(store geminihook.Store, i int) call {
			c, err := store.Claim(h.Context(), keys[i], "same", long, long)
			return call{claim: claim{Claim: c, Token: "same"}, err: err}
		}
		for attempt, kind := range []string{"a new key", "a released key"} {
			for i, calls := range h.race(keys, same, same, same, same, same, same, same, same) {
				for _, c := range calls {
					h.valid(keys[i], c.claim.Claim, c.err)
					if c.claim.State != geminihook.Acquired || c.claim.Attempt != attempt+1 {
						h.Fatalf("%d callers claimed %s with the same token at once, and one got %s with Attempt %d, want Acquired with %d",
							len(calls), kind, nameOf(c.claim.State), c.claim.Attempt, attempt+1)
					}
				}
				h.ok(h.first.Release(h.Context(), keys[i], "same"), "Release")
			}
		}
	})
}

func sameTokenReleased(h *harness) {
	first := h.acquired(h.first, key, long, long)
	for attempt := 2; attempt < 4; attempt++ {
		h.ok(h.first.Release(h.Context(), key, first.Token), "Release")
		again := h.claimWith(h.second, key, first.Token, long, long)
		if again.State != geminihook.Acquired {
			h.Fatalf("after Release, Claim with the same token returned %s, want Acquired", nameOf(again.State))
		}
		h.attempt(attempt, again, "after Release, with the same token")
		h.expect(geminihook.InProgress, h.first, key, "after a claim with the token of before Release")
	}
	h.ok(h.first.Complete(h.Context(), key, first.Token, long), "Complete")
}

func sameTokenCompleted(h *harness) {
	first := h.acquired(h.first, key, long, long)
	h.ok(h.first.Complete(h.Context(), key, first.Token, long), "Complete")
	if c := h.claimWith(h.second, key, first.Token, long, long); c.State != geminihook.Done || c.Attempt != 0 {
		h.Fatalf("after Complete, Claim with the same token returned %s with Attempt %d, want Done with 0", nameOf(c.State), c.Attempt)
	}
	h.ok(h.first.Complete(h.Context(), key, first.Token, long), "the repeated Complete, after a claim with the same token,")
	h.expect(geminihook.Done, h.first, key, "after a claim with the token that completed the key")
}

func sameTokenTaken(h *harness) {
	first := h.acquired(h.first, key, short, day)
	second := h.afterwards(h.second, key, long, day)
	if c := h.claimWith(h.first, key, first.Token, long, day); c.State != geminihook.InProgress {
		h.Fatalf("after another claim took the key, Claim with the earlier token returned %s, want InProgress", nameOf(c.State))
	}
	h.ok(h.first.Renew(h.Context(), key, second.Token, time.Millisecond), "Renew of the claim that took the key")
	h.pass(4 * step)
	var third claim
	h.until("a claim with an earlier token was Acquired after the lease", func() bool {
		third = h.claimWith(h.first, key, first.Token, long, day)
		return third.State == geminihook.Acquired
	})
	h.attempt(3, third, "with the token of the first claim, after the lease of the second")
	h.lost(h.second.Complete(h.Context(), key, second.Token, long), "Complete after the first token has taken the key again")
	h.ok(h.first.Complete(h.Context(), key, first.Token, long), "Complete with the token that has the key")
}

func sameTokenTwoKeys(h *harness) {
	first := h.acquired(h.first, key, long, long)
	other := h.claimWith(h.first, key+"2", first.Token, long, long)
	if other.State != geminihook.Acquired {
		h.Fatalf("Claim of a new key with the token of another key returned %s, want Acquired", nameOf(other.State))
	}
	h.attempt(1, other, "for a new key with the token of another")
	h.expect(geminihook.InProgress, h.second, key, "after a claim of another key with the same token")
	h.ok(h.first.Complete(h.Context(), key+"2", first.Token, long), "Complete of one of two keys with the same token")
	h.expect(geminihook.InProgress, h.second, key, "after Complete of another key with the same token")
	h.ok(h.first.Release(h.Context(), key, first.Token), "Release of the other of two keys with the same token")
	h.expect(geminihook.Done, h.second, key+"2", "after Release of another key with the same token")
}

func tokensApart(h *harness) {
	same := strings.Repeat("x", 63)
	tokens := []string{
		same + "1", same + "2", "1" + same, "token", "Token", "TOKEN", "token_", "token%", "%", "_", "*", "?", "0", "00", "0.0", "-1", "+1",
		"null", "NULL", "''", "'--", `"`, `\`, `\0`, "$1", ":1", "{}", "!", "~", "}",
	}
	for i, token := range tokens {
		k := fmt.Sprint(key, i)
		if c := h.claimWith(h.first, k, token, long, long); c.State != geminihook.Acquired {
			h.Fatalf("Claim of a new key with the token %q returned %s, want Acquired", token, nameOf(c.State))
		}
		for _, other := range tokens {
			if other == token {
				continue
			}
			call := fmt.Sprintf("with the token %q, of a key claimed with %q,", other, token)
			if c := h.claimWith(h.second, k, other, long, long); c.State != geminihook.InProgress {
				h.Fatalf("Claim %s returned %s, want InProgress", call, nameOf(c.State))
			}
		}
		wrong := tokens[(i+1)%len(tokens)]
		h.lost(h.second.Release(h.Context(), k, wrong), fmt.Sprintf("Release with the token %q, of a key claimed with %q,", wrong, token))
		h.ok(h.second.Complete(h.Context(), k, token, long), fmt.Sprintf("Complete with the token %q", token))
	}
}

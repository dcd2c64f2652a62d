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
		why: "The response to the first claim may have been lost: whoever repeats it must get the key.",
	},
	{
		name: "same token after the lease", test: sameTokenLate,
		why: "The response to the first claim may have been lost, and repeating it may take long.",
	},
	{
		name: "same token at once", test: sameTokenRace,
		why: "A driver may repeat a call while the first is on its way.",
	},
	{
		name: "same token after release", test: sameTokenReleased,
		why: "A released key is free for everyone, and its count of attempts shows a poison event.",
	},
	{
		name: "same token after complete", test: sameTokenCompleted,
		why: "Otherwise a handled event is handled again.",
	},
	{
		name: "same token after a takeover", test: sameTokenTaken,
		why: "Otherwise two runs of one event are active at once.",
	},
	{
		name: "same token for two keys", test: sameTokenTwoKeys,
		why: "Otherwise one event completes or releases another.",
	},
	{
		name: "tokens are apart", test: tokensApart,
		why: "Otherwise one claim completes or renews another.",
	},
}

func sameToken(h *harness) {
	token := rand.Text()
	again := func(
		store geminihook.Store, key, when string, attempt int, lease, keep time.Duration,
	) {
		h.t.Helper()
		c := h.claimWith(store, key, token, lease, keep)
		if c.State != geminihook.Acquired || c.RetryIn != 0 {
			h.t.Fatalf("%s, Claim with the same token returned %s with RetryIn %v, want Acquired with 0",
				when, c.State, c.RetryIn)
		}
		h.wantAttempt(attempt, c, when+" with the same token")
	}
	again(h.first, key, "for a new key", 1, long, long)
	again(h.first, key, "after a claim", 1, long, long)
	again(h.second, key, "after two claims", 1, long, long)
	h.wantState(geminihook.InProgress, h.second, key, "after claims with one token")
	h.wantNoError(h.second.Complete(h.ctx, key, token, long),
		"Complete with the token of three claims")
	h.wantState(geminihook.Done, h.first, key, "after Complete")

	var last claim
	h.wantExpiry(expiring{
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
	h.wantAttempt(2, last, "after the lease of a repeated claim")

	k := key + "2"
	again(h.first, k, "for a new key", 1, short, short)
	again(h.first, k, "after a claim with a shorter lease and keep", 1, long, day)
	h.pass(2 * short)
	h.wantState(geminihook.InProgress, h.second, k,
		fmt.Sprintf("%v after a claim with a lease and a keep of %v that was repeated with %v and %v",
			2*short, short, long, day))
	h.wantNoError(h.first.Complete(h.ctx, k, token, long), "Complete of a repeated claim")
}

func sameTokenLate(h *harness) {
	first := h.mustAcquire(h.first, key, short, day)
	h.pass(2 * short)
	again := h.claimWith(h.second, key, first.Token, long, day)
	if again.State != geminihook.Acquired {
		h.t.Fatalf("after the lease, Claim with the same token returned %s, want Acquired",
			again.State)
	}
	h.wantAttempt(1, again, "after the lease, with the same token")
	h.wantState(geminihook.InProgress, h.first, key, "after a claim with the same token")
	h.wantNoError(h.first.Complete(h.ctx, key, first.Token, long), "Complete")
}

func sameTokenRace(h *harness) {
	h.repeatRace(func(keys []string) {
		same := func(store geminihook.Store, i int) call {
			c, err := store.Claim(h.ctx, keys[i], "same", long, long)
			return call{claim: claim{Claim: c, Token: "same"}, err: err}
		}
		for attempt, kind := range []string{"a new key", "a released key"} {
			for i, calls := range h.race(keys, same, same, same, same, same, same, same, same) {
				for _, c := range calls {
					h.checkClaim(keys[i], c.claim.Claim, c.err)
					if c.claim.State != geminihook.Acquired || c.claim.Attempt != attempt+1 {
						h.t.Fatalf("%d callers claimed %s with the same token at once, and one got %s with Attempt %d, want Acquired with %d",
							len(calls), kind, c.claim.State, c.claim.Attempt, attempt+1)
					}
				}
				h.wantNoError(h.first.Release(h.ctx, keys[i], "same"), "Release")
			}
		}
	})
}

func sameTokenReleased(h *harness) {
	first := h.mustAcquire(h.first, key, long, long)
	for attempt := 2; attempt < 4; attempt++ {
		h.wantNoError(h.first.Release(h.ctx, key, first.Token), "Release")
		again := h.claimWith(h.second, key, first.Token, long, long)
		if again.State != geminihook.Acquired {
			h.t.Fatalf("after Release, Claim with the same token returned %s, want Acquired",
				again.State)
		}
		h.wantAttempt(attempt, again, "after Release, with the same token")
		h.wantState(geminihook.InProgress, h.first, key,
			"after a claim with the token of before Release")
	}
	h.wantNoError(h.first.Complete(h.ctx, key, first.Token, long), "Complete")
}

func sameTokenCompleted(h *harness) {
	first := h.mustAcquire(h.first, key, long, long)
	h.wantNoError(h.first.Complete(h.ctx, key, first.Token, long), "Complete")
	c := h.claimWith(h.second, key, first.Token, long, long)
	if c.State != geminihook.Done || c.Attempt != 0 {
		h.t.Fatalf("after Complete, Claim with the same token returned %s with Attempt %d, want Done with 0",
			c.State, c.Attempt)
	}
	h.wantNoError(h.first.Complete(h.ctx, key, first.Token, long),
		"the repeated Complete, after a claim with the same token,")
	h.wantState(geminihook.Done, h.first, key,
		"after a claim with the token that completed the key")
}

func sameTokenTaken(h *harness) {
	first := h.mustAcquire(h.first, key, short, day)
	second := h.claimWhenFree(h.second, key, long, day)
	if c := h.claimWith(h.first, key, first.Token, long, day); c.State != geminihook.InProgress {
		h.t.Fatalf("after another claim took the key, Claim with the earlier token returned %s, want InProgress",
			c.State)
	}
	h.wantNoError(h.first.Renew(h.ctx, key, second.Token, time.Millisecond),
		"Renew of the claim that took the key")
	h.pass(4 * step)
	var third claim
	h.eventually("a claim with an earlier token was Acquired after the lease", func() bool {
		third = h.claimWith(h.first, key, first.Token, long, day)
		return third.State == geminihook.Acquired
	})
	h.wantAttempt(3, third, "with the token of the first claim, after the lease of the second")
	h.wantLeaseLost(h.second.Complete(h.ctx, key, second.Token, long),
		"Complete after the first token has taken the key again")
	h.wantNoError(h.first.Complete(h.ctx, key, first.Token, long),
		"Complete with the token that has the key")
}

func sameTokenTwoKeys(h *harness) {
	first := h.mustAcquire(h.first, key, long, long)
	other := h.claimWith(h.first, key+"2", first.Token, long, long)
	if other.State != geminihook.Acquired {
		h.t.Fatalf("Claim of a new key with the token of another key returned %s, want Acquired",
			other.State)
	}
	h.wantAttempt(1, other, "for a new key with the token of another")
	h.wantState(geminihook.InProgress, h.second, key,
		"after a claim of another key with the same token")
	h.wantNoError(h.first.Complete(h.ctx, key+"2", first.Token, long),
		"Complete of one of two keys with the same token")
	h.wantState(geminihook.InProgress, h.second, key,
		"after Complete of another key with the same token")
	h.wantNoError(h.first.Release(h.ctx, key, first.Token),
		"Release of the other of two keys with the same token")
	h.wantState(geminihook.Done, h.second, key+"2",
		"after Release of another key with the same token")
}

func tokensApart(h *harness) {
	same := strings.Repeat("x", 63)
	tokens := []string{
		same + "1", same + "2", "1" + same, "token", "Token", "TOKEN", "token_", "token%",
		"%", "_", "*", "?", "0", "00", "0.0", "-1", "+1",
		"null", "NULL", "''", "'--", `"`, `\`, `\0`, "$1", ":1", "{}", "!", "~", "}",
	}
	for i, token := range tokens {
		k := fmt.Sprint(key, i)
		if c := h.claimWith(h.first, k, token, long, long); c.State != geminihook.Acquired {
			h.t.Fatalf("Claim of a new key with the token %q returned %s, want Acquired",
				token, c.State)
		}
		for _, other := range tokens {
			if other == token {
				continue
			}
			call := fmt.Sprintf("with the token %q, of a key claimed with %q,", other, token)
			if c := h.claimWith(h.second, k, other, long, long); c.State != geminihook.InProgress {
				h.t.Fatalf("Claim %s returned %s, want InProgress", call, c.State)
			}
		}
		wrong := tokens[(i+1)%len(tokens)]
		h.wantLeaseLost(h.second.Release(h.ctx, k, wrong),
			fmt.Sprintf("Release with the token %q, of a key claimed with %q,", wrong, token))
		h.wantNoError(h.second.Complete(h.ctx, k, token, long),
			fmt.Sprintf("Complete with the token %q", token))
	}
}

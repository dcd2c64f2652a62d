package storetest

import "github.com/geminihook/geminihook"

// holdBehaviors are about Complete, Release and the token.
var holdBehaviors = []behavior{
	{
		name: "stale token", test: staleToken,
		contract: "Once another claim has taken the key, the token of the earlier claim is ErrLeaseLost and changes nothing. " +
			"Otherwise a run that was too slow completes or releases what another is working on.",
	},
	{
		name: "token after a second lapse", test: secondLapse,
		contract: "Only the token of the last claim holds the key, also after the lease of that claim has ended. " +
			"Otherwise a run that lost the key long ago completes the event of one that is still at work.",
	},
	{
		name: "wrong token", test: wrongToken,
		contract: "A token with which nobody has claimed the key is ErrLeaseLost, and does not make the key known.",
	},
	{
		name: "late complete", test: lateComplete,
		contract: "Complete succeeds after the lease has ended, as long as nobody else has claimed the key. " +
			"The function has succeeded: an error would only cause a second run.",
	},
	{
		name: "late release", test: lateRelease,
		contract: "Release succeeds after the lease has ended, as long as nobody else has claimed the key, and keeps the count of attempts. " +
			"A run that fails late is an ordinary failure, and a poison event must show its true number of attempts.",
	},
	{
		name: "complete twice", test: completeTwice,
		contract: "A repeated Complete with the same token succeeds: the response to the first may have been lost.",
	},
	{
		name: "release", test: release,
		contract: "Release ends the lease and the token, so that the next Claim is Acquired, and keeps the count of attempts.",
	},
	{
		name: "release after complete", test: releaseAfterComplete,
		contract: "A completed key cannot be released: Release is ErrLeaseLost, and the key stays Done. " +
			"Otherwise a handled event is handled again.",
	},
}

func staleToken(h *harness) {
	first := h.acquired(h.first, key, short, long)
	second := h.afterwards(h.second, key, long, long)
	h.lost(h.first.Complete(h.Context(), key, first.Token, long), "Complete after another claim took the key")
	h.lost(h.first.Release(h.Context(), key, first.Token), "Release after another claim took the key")
	h.expect(geminihook.InProgress, h.first, key, "while the claim that took the key holds it")
	h.ok(h.second.Complete(h.Context(), key, second.Token, long), "Complete of the claim that took the key")
	h.lost(h.first.Complete(h.Context(), key, first.Token, long), "Complete after another claim completed the key")
	h.lost(h.first.Release(h.Context(), key, first.Token), "Release after another claim completed the key")
	h.expect(geminihook.Done, h.first, key, "after the Complete of the claim that took the key")
}

func secondLapse(h *harness) {
	first := h.acquired(h.first, key, short, long)
	second := h.afterwards(h.second, key, short, long)
	h.pass(2 * short)
	const when = ", after another claim took the key and its lease ended, too,"
	for _, token := range []string{first.Token, "x", "00000000-0000-0000-0000-000000000000"} {
		h.lost(h.first.Complete(h.Context(), key, token, long), "Complete with a token that does not hold the key"+when)
		h.lost(h.first.Release(h.Context(), key, token), "Release with a token that does not hold the key"+when)
	}
	h.ok(h.second.Complete(h.Context(), key, second.Token, long), "Complete with the token of the last claim")
	h.expect(geminihook.Done, h.first, key, "after Complete")
}

func wrongToken(h *harness) {
	tokens := []string{"", "0", "-1", "x", "00000000-0000-0000-0000-000000000000", "\x00", "'", "\xff"}
	for _, token := range append(tokens, "1") {
		h.lost(h.first.Complete(h.Context(), key, token, long), "Complete of an unknown key")
		h.lost(h.first.Release(h.Context(), key, token), "Release of an unknown key")
	}
	c := h.acquired(h.first, key, long, long)
	h.attempt(1, c, "after Complete and Release with tokens that were never given out")
	for _, token := range tokens {
		h.lost(h.first.Complete(h.Context(), key, token, long), "Complete with a wrong token")
		h.lost(h.first.Release(h.Context(), key, token), "Release with a wrong token")
	}
	h.expect(geminihook.InProgress, h.first, key, "after Complete and Release with wrong tokens")
}

func lateComplete(h *harness) {
	c := h.acquired(h.first, key, short, long)
	h.pass(2 * short)
	h.ok(h.first.Complete(h.Context(), key, c.Token, long), "Complete after the lease, of a key that nobody else claimed,")
	h.expect(geminihook.Done, h.second, key, "after a late Complete")
}

func lateRelease(h *harness) {
	first := h.acquired(h.first, key, short, long)
	h.pass(2 * short)
	h.ok(h.first.Release(h.Context(), key, first.Token), "Release after the lease, of a key that nobody else claimed,")
	h.lost(h.first.Complete(h.Context(), key, first.Token, long), "Complete after a late Release")
	second := h.acquired(h.second, key, short, long)
	h.attempt(2, second, "after a late Release")
	h.pass(2 * short)
	h.ok(h.second.Release(h.Context(), key, second.Token), "Release of the second claim, after its lease,")
	h.attempt(3, h.acquired(h.first, key, long, long), "after two late Releases")
}

func completeTwice(h *harness) {
	c := h.acquired(h.first, key, long, long)
	for _, call := range []string{"Complete", "the repeated Complete", "the Complete repeated once more"} {
		h.ok(h.first.Complete(h.Context(), key, c.Token, long), call)
	}
	h.expect(geminihook.Done, h.second, key, "after a repeated Complete")
}

func release(h *harness) {
	first := h.acquired(h.first, key, long, long)
	h.ok(h.first.Release(h.Context(), key, first.Token), "Release")
	h.lost(h.first.Complete(h.Context(), key, first.Token, long), "Complete after Release")
	h.lost(h.first.Release(h.Context(), key, first.Token), "Release after Release")
	for attempt := 2; attempt < 5; attempt++ {
		c := h.acquired(h.second, key, long, long)
		h.attempt(attempt, c, "after Release")
		h.lost(h.first.Release(h.Context(), key, first.Token), "Release with the token of an earlier claim")
		h.ok(h.second.Release(h.Context(), key, c.Token), "Release")
	}
}

func releaseAfterComplete(h *harness) {
	c := h.acquired(h.first, key, long, long)
	h.ok(h.first.Complete(h.Context(), key, c.Token, long), "Complete")
	h.lost(h.first.Release(h.Context(), key, c.Token), "Release after Complete")
	h.expect(geminihook.Done, h.first, key, "after Complete and a refused Release")
}

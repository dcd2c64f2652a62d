package storetest

import "github.com/geminihook/geminihook"

// completeBehaviors are about Complete, Release and the token.
var completeBehaviors = []behavior{
	{
		name: "stale token", test: staleToken,
		why: "Otherwise a run that was too slow completes or releases what another is working on.",
	},
	{
		name: "token after two expired leases", test: secondExpiry,
		why: "Otherwise a run that lost the key long ago completes the event of one that is still running.",
	},
	{
		name: "wrong token", test: wrongToken,
		why: "Otherwise anyone completes any event, or makes an unknown key known.",
	},
	{
		name: "late complete", test: lateComplete,
		why: "The function has succeeded: an error would only cause a second run.",
	},
	{
		name: "late release", test: lateRelease,
		why: "A run that fails late is an ordinary failure, and a poison event must show its true number of attempts.",
	},
	{
		name: "complete twice", test: completeTwice,
		why: "The response to the first Complete may have been lost.",
	},
	{
		name: "release", test: release,
		why: "A failed event is retried at once, and its count of attempts shows a poison event.",
	},
	{
		name: "release after complete", test: releaseAfterComplete,
		why: "Otherwise a handled event is handled again.",
	},
}

func staleToken(h *harness) {
	first := h.mustAcquire(h.first, key, short, long)
	second := h.claimWhenFree(h.second, key, long, long)
	h.wantLeaseLost(h.first.Complete(h.ctx, key, first.Token, long),
		"Complete after another claim took the key")
	h.wantLeaseLost(h.first.Release(h.ctx, key, first.Token),
		"Release after another claim took the key")
	h.wantState(geminihook.InProgress, h.first, key, "while the claim that took the key holds it")
	h.wantNoError(h.second.Complete(h.ctx, key, second.Token, long),
		"Complete of the claim that took the key")
	h.wantLeaseLost(h.first.Complete(h.ctx, key, first.Token, long),
		"Complete after another claim completed the key")
	h.wantLeaseLost(h.first.Release(h.ctx, key, first.Token),
		"Release after another claim completed the key")
	h.wantState(geminihook.Done, h.first, key, "after the Complete of the claim that took the key")
}

func secondExpiry(h *harness) {
	first := h.mustAcquire(h.first, key, short, long)
	second := h.claimWhenFree(h.second, key, short, long)
	h.pass(2 * short)
	const when = ", after another claim took the key and its lease ended, too,"
	for _, token := range []string{first.Token, "x", "00000000-0000-0000-0000-000000000000"} {
		h.wantLeaseLost(h.first.Complete(h.ctx, key, token, long),
			"Complete with a token that does not hold the key"+when)
		h.wantLeaseLost(h.first.Release(h.ctx, key, token),
			"Release with a token that does not hold the key"+when)
	}
	h.wantNoError(h.second.Complete(h.ctx, key, second.Token, long),
		"Complete with the token of the last claim")
	h.wantState(geminihook.Done, h.first, key, "after Complete")
}

func wrongToken(h *harness) {
	tokens := []string{
		"", "0", "-1", "x", "00000000-0000-0000-0000-000000000000", "\x00", "'", "\xff",
	}
	for _, token := range append(tokens, "1") {
		h.wantLeaseLost(h.first.Complete(h.ctx, key, token, long), "Complete of an unknown key")
		h.wantLeaseLost(h.first.Release(h.ctx, key, token), "Release of an unknown key")
	}
	c := h.mustAcquire(h.first, key, long, long)
	h.wantAttempt(1, c, "after Complete and Release with tokens that were never given out")
	for _, token := range tokens {
		h.wantLeaseLost(h.first.Complete(h.ctx, key, token, long), "Complete with a wrong token")
		h.wantLeaseLost(h.first.Release(h.ctx, key, token), "Release with a wrong token")
	}
	h.wantState(geminihook.InProgress, h.first, key, "after Complete and Release with wrong tokens")
}

func lateComplete(h *harness) {
	c := h.mustAcquire(h.first, key, short, long)
	h.pass(2 * short)
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long),
		"Complete after the lease, of a key that nobody else claimed,")
	h.wantState(geminihook.Done, h.second, key, "after a late Complete")
}

func lateRelease(h *harness) {
	first := h.mustAcquire(h.first, key, short, long)
	h.pass(2 * short)
	h.wantNoError(h.first.Release(h.ctx, key, first.Token),
		"Release after the lease, of a key that nobody else claimed,")
	h.wantLeaseLost(h.first.Complete(h.ctx, key, first.Token, long),
		"Complete after a late Release")
	second := h.mustAcquire(h.second, key, short, long)
	h.wantAttempt(2, second, "after a late Release")
	h.pass(2 * short)
	h.wantNoError(h.second.Release(h.ctx, key, second.Token),
		"Release of the second claim, after its lease,")
	h.wantAttempt(3, h.mustAcquire(h.first, key, long, long), "after two late Releases")
}

func completeTwice(h *harness) {
	c := h.mustAcquire(h.first, key, long, long)
	for _, call := range []string{"Complete", "the second Complete", "the third Complete"} {
		h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long), call)
	}
	h.wantState(geminihook.Done, h.second, key, "after a repeated Complete")
}

func release(h *harness) {
	first := h.mustAcquire(h.first, key, long, long)
	h.wantNoError(h.first.Release(h.ctx, key, first.Token), "Release")
	h.wantLeaseLost(h.first.Complete(h.ctx, key, first.Token, long), "Complete after Release")
	h.wantLeaseLost(h.first.Release(h.ctx, key, first.Token), "Release after Release")
	for attempt := 2; attempt < 5; attempt++ {
		c := h.mustAcquire(h.second, key, long, long)
		h.wantAttempt(attempt, c, "after Release")
		h.wantLeaseLost(h.first.Release(h.ctx, key, first.Token),
			"Release with the token of an earlier claim")
		h.wantNoError(h.second.Release(h.ctx, key, c.Token), "Release")
	}
}

func releaseAfterComplete(h *harness) {
	c := h.mustAcquire(h.first, key, long, long)
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long), "Complete")
	h.wantLeaseLost(h.first.Release(h.ctx, key, c.Token), "Release after Complete")
	h.wantState(geminihook.Done, h.first, key, "after Complete and a refused Release")
}

package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// claimBehaviors are about Claim, without races and without waiting for the
// end of something.
var claimBehaviors = []behavior{
	{
		name: "claim of a new key", test: newKey,
		contract: "The first Claim of a key is Acquired with Attempt 1. " +
			"An event that nobody has seen must be handled.",
	},
	{
		name: "claim while in progress", test: whileInProgress,
		contract: "While the lease of another runs, Claim is InProgress, and RetryIn is positive. " +
			"Otherwise two runs of the same event are active at once, or the sender is told to come back at once.",
	},
	{
		name: "retry in", test: retryIn,
		contract: "RetryIn is the remainder of the holder's lease: not the whole of it, and not the lease that the caller asked for. " +
			"It becomes Retry-After: too long, and a crashed run is retried late; too short, and the retries are wasted.",
	},
	{
		name: "keys are apart", test: keysApart,
		contract: "Keys are compared byte for byte and tokens belong to one key. Otherwise one event completes another.",
	},
	{
		name: "done is never claimed", test: doneNeverClaimed,
		contract: "A completed key is Done for everyone until its keep has passed. Otherwise a duplicate runs the function again.",
	},
	{
		name: "keep of a century", test: longKeep,
		contract: "Durations of a century are valid: a store saturates instead of overflowing. " +
			"Otherwise the key is forgotten at once.",
	},
	{
		name: "two handles", needs: needsSecond, test: twoHandles,
		contract: "All handles to the same backend see the same keys, and a token is valid through each of them. " +
			"Several instances receive for the same webhook.",
	},
	{
		name: "canceled context", test: canceled,
		contract: "A call whose context has ended returns an error that is not ErrLeaseLost, and changes nothing. " +
			"Otherwise a claim is left behind that nobody knows of, and the event is blocked until the lease ends.",
	},
}

func newKey(h *harness) {
	c := h.acquired(h.first, key, long, long)
	h.attempt(1, c, "for a new key")
	if c.RetryIn != 0 {
		h.Errorf("an Acquired claim has RetryIn %v, want 0", c.RetryIn)
	}
}

func whileInProgress(h *harness) {
	h.acquired(h.first, key, long, long)
	for i := range 4 {
		c := h.expect(geminihook.InProgress, h.handle(i), key, "while the lease of another runs")
		if c.RetryIn <= 0 || c.RetryIn > long {
			h.Fatalf("while a lease of %v runs, Claim returned InProgress with RetryIn %v", long, c.RetryIn)
		}
	}
}

// retryIn repeats the observation, because a machine may set its clock.
func retryIn(h *harness) {
	const tries = 3
	var problem string
	for try := range tries {
		if problem = h.retryIn(fmt.Sprint(key, try)); problem == "" {
			return
		}
	}
	h.Fatalf("%d times in a row: %s", tries, problem)
}

func (h *harness) retryIn(key string) (problem string) {
	h.Helper()
	const waited = 400 * time.Millisecond
	before := h.now()
	h.acquired(h.first, key, long, long)
	after := h.now()
	h.pass(waited)
	for _, own := range []time.Duration{3 * long, time.Minute} {
		most := long - (h.now() - after) + waited/2
		c := h.claim(h.second, key, own, long)
		least := long - (h.now() - before) - waited/2
		if c.State != geminihook.InProgress || c.RetryIn < least || c.RetryIn > most {
			return fmt.Sprintf("%v after a claim with a lease of %v, Claim with a lease of %v returned %s with RetryIn %v, want InProgress with %v to %v",
				waited, long, own, nameOf(c.State), c.RetryIn, least, most)
		}
	}
	return ""
}

func keysApart(h *harness) {
	one := h.acquired(h.first, key, long, long)
	h.acquired(h.first, key+"2", long, long)
	h.ok(h.first.Complete(h.Context(), key, one.Token, long), "Complete")
	h.expect(geminihook.Done, h.first, key, "after Complete")
	h.expect(geminihook.InProgress, h.first, key+"2", "after another key's Complete")
	h.lost(h.first.Complete(h.Context(), key+"2", one.Token, long), "Complete with another key's token")
	h.lost(h.first.Release(h.Context(), key+"2", one.Token), "Release with another key's token")
	h.expect(geminihook.InProgress, h.first, key+"2", "after calls with another key's token")
}

func doneNeverClaimed(h *harness) {
	c := h.acquired(h.first, key, long, long)
	h.ok(h.first.Complete(h.Context(), key, c.Token, long), "Complete")
	for i := range 16 {
		h.expect(geminihook.Done, h.handle(i), key, "after Complete")
	}
}

func longKeep(h *harness) {
	const century = 100 * 365 * day
	c := h.acquired(h.first, key, century, century)
	if got := h.claim(h.second, key, century, century); got.State != geminihook.InProgress {
		h.Fatalf("during a lease of a century, Claim returned %s, want InProgress", nameOf(got.State))
	}
	h.ok(h.first.Complete(h.Context(), key, c.Token, century), "Complete with a keep of a century")
	if got := h.claim(h.second, key, century, century); got.State != geminihook.Done {
		h.Fatalf("after Complete with a keep of a century, Claim returned %s, want Done", nameOf(got.State))
	}
}

func twoHandles(h *harness) {
	c := h.acquired(h.first, key, long, long)
	h.expect(geminihook.InProgress, h.second, key, "after a claim through the first handle")
	h.ok(h.second.Release(h.Context(), key, c.Token), "Release through the second handle")
	c = h.acquired(h.second, key, long, long)
	h.expect(geminihook.InProgress, h.first, key, "after a claim through the second handle")
	h.ok(h.first.Complete(h.Context(), key, c.Token, long), "Complete through the first handle")
	h.expect(geminihook.Done, h.second, key, "after Complete through the first handle")
}

func canceled(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	c, err := h.first.Claim(ctx, key, "1", long, long)
	h.failed(err, "Claim with a canceled context")
	if c != (geminihook.Claim{}) {
		h.Errorf("Claim with a canceled context returned an error and %s", nameOf(c.State))
	}
	held := h.acquired(h.first, key, long, long)
	h.attempt(1, held, "after a claim with a canceled context")
	h.failed(h.first.Complete(ctx, key, held.Token, long), "Complete with a canceled context")
	h.failed(h.first.Release(ctx, key, held.Token), "Release with a canceled context")
	h.expect(geminihook.InProgress, h.first, key, "after Complete and Release with a canceled context")
	h.ok(h.first.Complete(h.Context(), key, held.Token, long), "Complete")
}

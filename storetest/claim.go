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
		why: "An event that nobody has seen must be handled.",
	},
	{
		name: "claim while in progress", test: whileInProgress,
		why: "Otherwise two runs of one event are active at once, or the sender retries at once.",
	},
	{
		name: "retry in", test: retryIn,
		why: "It becomes Retry-After: too long, and a crashed run is retried late; too short, and retries are wasted.",
	},
	{
		name: "keys are apart", test: keysApart,
		why: "Otherwise one event completes another.",
	},
	{
		name: "done is never claimed", test: doneNeverClaimed,
		why: "Otherwise a duplicate runs the function again.",
	},
	{
		name: "keep of a century", test: longKeep,
		why: "A store that overflows forgets the key at once: durations must saturate.",
	},
	{
		name: "two handles", needs: needsSecond, test: twoHandles,
		why: "Several instances receive for the same webhook.",
	},
	{
		name: "canceled context", test: canceled,
		why: "Otherwise a claim is left behind that nobody knows of, and the event waits until the lease ends.",
	},
}

func newKey(h *harness) {
	c := h.mustAcquire(h.first, key, long, long)
	h.wantAttempt(1, c, "for a new key")
	if c.RetryIn != 0 {
		h.t.Errorf("an Acquired claim has RetryIn %v, want 0", c.RetryIn)
	}
}

func whileInProgress(h *harness) {
	h.mustAcquire(h.first, key, long, long)
	for i := range 4 {
		c := h.wantState(geminihook.InProgress, h.handle(i), key, "while the lease of another runs")
		if c.RetryIn <= 0 || c.RetryIn > long {
			h.t.Fatalf("while a lease of %v runs, Claim returned InProgress with RetryIn %v",
				long, c.RetryIn)
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
	h.t.Fatalf("%d times in a row: %s", tries, problem)
}

func (h *harness) retryIn(key string) (problem string) {
	h.t.Helper()
	const waited = 400 * time.Millisecond
	before := h.now()
	h.mustAcquire(h.first, key, long, long)
	after := h.now()
	h.pass(waited)
	for _, own := range []time.Duration{3 * long, time.Minute} {
		most := long - (h.now() - after) + waited/2
		c := h.claim(h.second, key, own, long)
		least := long - (h.now() - before) - waited/2
		if c.State != geminihook.InProgress || c.RetryIn < least || c.RetryIn > most {
			return fmt.Sprintf("%v after a claim with a lease of %v, Claim with a lease of %v returned %s with RetryIn %v, want InProgress with %v to %v",
				waited, long, own, c.State, c.RetryIn, least, most)
		}
	}
	return ""
}

func keysApart(h *harness) {
	one := h.mustAcquire(h.first, key, long, long)
	h.mustAcquire(h.first, key+"2", long, long)
	h.wantNoError(h.first.Complete(h.ctx, key, one.Token, long), "Complete")
	h.wantState(geminihook.Done, h.first, key, "after Complete")
	h.wantState(geminihook.InProgress, h.first, key+"2", "after another key's Complete")
	h.wantLeaseLost(h.first.Complete(h.ctx, key+"2", one.Token, long),
		"Complete with another key's token")
	h.wantLeaseLost(h.first.Release(h.ctx, key+"2", one.Token), "Release with another key's token")
	h.wantState(geminihook.InProgress, h.first, key+"2", "after calls with another key's token")
}

func doneNeverClaimed(h *harness) {
	c := h.mustAcquire(h.first, key, long, long)
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long), "Complete")
	for i := range 16 {
		h.wantState(geminihook.Done, h.handle(i), key, "after Complete")
	}
}

func longKeep(h *harness) {
	const century = 100 * 365 * day
	c := h.mustAcquire(h.first, key, century, century)
	if got := h.claim(h.second, key, century, century); got.State != geminihook.InProgress {
		h.t.Fatalf("during a lease of a century, Claim returned %s, want InProgress", got.State)
	}
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, century),
		"Complete with a keep of a century")
	if got := h.claim(h.second, key, century, century); got.State != geminihook.Done {
		h.t.Fatalf("after Complete with a keep of a century, Claim returned %s, want Done",
			got.State)
	}
}

func twoHandles(h *harness) {
	c := h.mustAcquire(h.first, key, long, long)
	h.wantState(geminihook.InProgress, h.second, key, "after a claim through the first handle")
	h.wantNoError(h.second.Release(h.ctx, key, c.Token), "Release through the second handle")
	c = h.mustAcquire(h.second, key, long, long)
	h.wantState(geminihook.InProgress, h.first, key, "after a claim through the second handle")
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long), "Complete through the first handle")
	h.wantState(geminihook.Done, h.second, key, "after Complete through the first handle")
}

func canceled(h *harness) {
	ctx, cancel := context.WithCancel(h.ctx)
	cancel()
	c, err := h.first.Claim(ctx, key, "1", long, long)
	h.wantFailure(err, "Claim with a canceled context")
	if c != (geminihook.Claim{}) {
		h.t.Errorf("Claim with a canceled context returned an error and %s", c.State)
	}
	held := h.mustAcquire(h.first, key, long, long)
	h.wantAttempt(1, held, "after a claim with a canceled context")
	h.wantFailure(h.first.Complete(ctx, key, held.Token, long), "Complete with a canceled context")
	h.wantFailure(h.first.Release(ctx, key, held.Token), "Release with a canceled context")
	h.wantState(geminihook.InProgress, h.first, key,
		"after Complete and Release with a canceled context")
	h.wantNoError(h.first.Complete(h.ctx, key, held.Token, long), "Complete")
}

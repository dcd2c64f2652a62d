package storetest

import (
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// forgettingBehaviors are about what a store forgets first.
var forgettingBehaviors = []behavior{
	{
		name: "mixed keeps", test: mixedKeeps,
		why: "Otherwise an event that was handled is handled again.",
	},
	{
		name: "bounded evicts what has expired", needs: needsBounded, test: boundedExpired,
		why: "A store must not forget what it still has to know while it holds what it may forget.",
	},
	{
		name: "bounded evicts in order", needs: needsBounded, test: boundedOrder,
		why: "A released key loses only its count of attempts; a key that is done loses its event's duplicates.",
	},
	{
		name: "bounded keeps what is in progress", needs: needsBounded, test: boundedInProgress,
		why: "Evicting a key in progress lets two runs of one event be active at once.",
	},
}

func mixedKeeps(h *harness) {
	const n = 8
	for i := range n {
		h.mustComplete(fmt.Sprint(key, "long", i), day)
		h.mustComplete(fmt.Sprint(key, "short", i), short)
	}
	h.pass(2 * short)
	for i := range n {
		h.wantAttempt(1, h.claimWhenFree(h.second, fmt.Sprint(key, "short", i), long, day),
			fmt.Sprintf("after a keep of %v", short))
		h.mustAcquire(h.second, fmt.Sprint(key, "new", i), long, day)
	}
	for i := range n {
		h.wantState(geminihook.Done, h.first,
			fmt.Sprint(key, "long", i),
			fmt.Sprintf("%v after Complete with a keep of %v", 2*short, day))
	}
}

// boundedKeys is how many keys a bounded store may hold in these tests.
const boundedKeys = 3

// mustComplete claims a new key and completes it.
func (h *harness) mustComplete(key string, keep time.Duration) {
	h.t.Helper()
	c := h.mustAcquire(h.first, key, long, day)
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, keep), "Complete")
}

func boundedExpired(h *harness) {
	h.mustComplete("a", 7*day)
	h.mustComplete("b", short)
	h.mustComplete("c", short)
	h.pass(2 * short)
	for _, k := range []string{"d", "e"} {
		h.mustAcquire(h.first, k, long, day)
		h.wantState(geminihook.Done, h.first,
			"a", "after a new key took the room of one that had expired")
	}
}

func boundedOrder(h *harness) {
	h.mustComplete("a", day)
	c := h.mustAcquire(h.first, "b", long, 7*day)
	h.wantNoError(h.first.Release(h.ctx, "b", c.Token), "Release")
	h.mustComplete("c", long)
	h.mustComplete("d", day)
	h.wantState(geminihook.Done, h.first, "a", "after a new key took the room of a released one")
	h.wantState(geminihook.Done, h.first, "c", "after a new key took the room of a released one")
	h.mustComplete("e", day)
	h.wantState(geminihook.Done, h.first,
		"c", "after a new key took the room of the one that had been Done longest")
	h.wantState(geminihook.Done, h.first,
		"d", "after a new key took the room of the one that had been Done longest")
}

func boundedInProgress(h *harness) {
	a := h.mustAcquire(h.first, "a", long, long)
	h.mustAcquire(h.first, "b", long, long)
	h.mustAcquire(h.first, "c", short, long)
	c, err := h.first.Claim(h.ctx, "d", "token", long, long)
	if err == nil && c.State == geminihook.Acquired {
		h.wantState(geminihook.InProgress, h.first,
			"a", "after one more claim than the store can hold")
		h.wantState(geminihook.InProgress, h.first,
			"b", "after one more claim than the store can hold")
		// The lease of c may have ended already, but that of d runs.
		_, err = h.first.Claim(h.ctx, "e", "token", long, long)
		h.wantFailure(err, "Claim of two more keys than the store can hold in progress")
		return
	}
	h.wantFailure(err, "Claim of one more key than the store can hold in progress")
	h.pass(2 * short)
	h.claimWhenFree(h.first, "d", long, long) // in place of c, whose lease has ended
	h.wantState(geminihook.InProgress, h.first, "a", "after the store was full")
	h.wantNoError(h.first.Complete(h.ctx, "a", a.Token, long), "Complete in a full store")
}

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
		contract: "Each key is Done for its own keep, whatever keeps the others have, and in whatever order they were completed. " +
			"Otherwise an event that was handled is handled again.",
	},
	{
		name: "bounded evicts what has expired", needs: needsBounded, test: boundedExpired,
		contract: "A store that is full makes room by evicting what has expired, before anything that it still has to know.",
	},
	{
		name: "bounded evicts released, then the oldest done", needs: needsBounded, test: boundedOrder,
		contract: "A store that is full and holds nothing expired evicts a released key, which loses only its count of attempts, then the key that has been Done longest.",
	},
	{
		name: "bounded keeps what is in progress", needs: needsBounded, test: boundedInProgress,
		contract: "A store that is full of keys in progress refuses a new one with an error that is not ErrLeaseLost. Evicting one would let two runs of one event be active at once.",
	},
}

func mixedKeeps(h *harness) {
	const n = 8
	for i := range n {
		h.completed(fmt.Sprint(key, "long", i), day)
		h.completed(fmt.Sprint(key, "short", i), short)
	}
	h.pass(2 * short)
	for i := range n {
		h.attempt(1, h.afterwards(h.second, fmt.Sprint(key, "short", i), long, day), fmt.Sprintf("after a keep of %v", short))
		h.acquired(h.second, fmt.Sprint(key, "new", i), long, day)
	}
	for i := range n {
		h.expect(geminihook.Done, h.first, fmt.Sprint(key, "long", i), fmt.Sprintf("%v after Complete with a keep of %v", 2*short, day))
	}
}

// boundedKeys is how many keys a bounded store may hold in these tests.
const boundedKeys = 3

// completed claims a new key and completes it.
func (h *harness) completed(key string, keep time.Duration) {
	h.Helper()
	c := h.acquired(h.first, key, long, day)
	h.ok(h.first.Complete(h.Context(), key, c.Token, keep), "Complete")
}

func boundedExpired(h *harness) {
	h.completed("a", 7*day)
	h.completed("b", short)
	h.completed("c", short)
	h.pass(2 * short)
	for _, k := range []string{"d", "e"} {
		h.acquired(h.first, k, long, day)
		h.expect(geminihook.Done, h.first, "a", "after a new key took the room of one that had expired")
	}
}

func boundedOrder(h *harness) {
	h.completed("a", day)
	c := h.acquired(h.first, "b", long, 7*day)
	h.ok(h.first.Release(h.Context(), "b", c.Token), "Release")
	h.completed("c", long)
	h.completed("d", day)
	h.expect(geminihook.Done, h.first, "a", "after a new key took the room of a released one")
	h.expect(geminihook.Done, h.first, "c", "after a new key took the room of a released one")
	h.completed("e", day)
	h.expect(geminihook.Done, h.first, "c", "after a new key took the room of the one that had been Done longest")
	h.expect(geminihook.Done, h.first, "d", "after a new key took the room of the one that had been Done longest")
}

func boundedInProgress(h *harness) {
	a := h.acquired(h.first, "a", long, long)
	h.acquired(h.first, "b", long, long)
	h.acquired(h.first, "c", short, long)
	c, err := h.first.Claim(h.Context(), "d", "token", long, long)
	if err == nil && c.State == geminihook.Acquired {
		h.expect(geminihook.InProgress, h.first, "a", "after one more claim than the store can hold")
		h.expect(geminihook.InProgress, h.first, "b", "after one more claim than the store can hold")
		return // the lease of c had ended already
	}
	h.failed(err, "Claim of one more key than the store can hold in progress")
	h.pass(2 * short)
	h.afterwards(h.first, "d", long, long) // in place of c, whose lease has ended
	h.expect(geminihook.InProgress, h.first, "a", "after the store was full")
	h.ok(h.first.Complete(h.Context(), "a", a.Token, long), "Complete in a full store")
}

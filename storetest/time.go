package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// timeBehaviors are about when leases end and when keys are forgotten.
var timeBehaviors = []behavior{
	{
		name: "takeover after the lease, not before", test: takeover,
		contract: "A key is InProgress until its lease has ended, and then Acquired by the next Claim, with Attempt one higher. " +
			"Too early, and two runs of one event are active at once; never, and a crash blocks the event.",
	},
	{
		name: "sub-second lease", test: subSecondLease,
		contract: "Leases are not rounded to seconds, neither down, which lets two run at once, nor up, which blocks an event.",
	},
	{
		name: "done outlives the lease", test: doneOutlivesLease,
		contract: "Complete marks the key as Done for its own keep, whatever lease and keep the claim had. " +
			"Otherwise duplicates run the function again.",
	},
	{
		name: "done ends after keep", test: doneEnds,
		contract: "A completed key is Done until keep has passed since Complete. Then it is forgotten: " +
			"the next Claim is Acquired with Attempt 1, and the old token is ErrLeaseLost.",
	},
	{
		name: "keep counts from complete", test: keepFromComplete,
		contract: "The keep of Complete counts from Complete, not from the claim. " +
			"Otherwise a long run is forgotten too early, and its duplicate runs the function again.",
	},
	{
		name: "repeated complete keeps the expiry", test: repeatedComplete,
		contract: "A repeated Complete changes nothing: the key is forgotten when keep has passed since the first one. " +
			"Otherwise a retried call, which may have another keep, moves the end of what was promised.",
	},
	{
		name: "lease longer than keep", test: leaseLongerThanKeep,
		contract: "A key is not forgotten while its lease runs, even if keep is shorter: not after a first claim, " +
			"nor after one that followed a lapse or a Release. Otherwise two runs of one event are active at once.",
	},
	{
		name: "each claim extends the expiry", test: claimExtends,
		contract: "Lease and keep count from the last claim, also if that claim took over a lapsed key or followed a Release. " +
			"Otherwise the key is forgotten while its second run is active.",
	},
	{
		name: "a lapsed key is remembered", test: lapsedRemembered,
		contract: "A key that is not completed is remembered until keep has passed since its last claim, long after its lease. " +
			"Otherwise a late Complete or Release is refused, and the count of attempts starts again.",
	},
}

// holding is something that keeps a key in a state for a time.
type holding struct {
	what  string
	state geminihook.State
	begin func(key string, d time.Duration) (before time.Duration, err error) // before is the time before the call that counts
	probe func(key string) geminihook.State                                   // claims the key if it is free
}

// holds checks that the key is held as long as it should be, then let go. It
// returns the key.
func (h *harness) holds(x holding) (key string) {
	h.Helper()
	h.within(2*short, func(k string, d time.Duration) bool {
		before, err := x.begin(k, d)
		if err != nil {
			h.Fatalf("the call that begins %s failed: %v", x.what, err)
		}
		h.pass(d * 9 / 10)
		state := x.probe(k)
		proved := h.now()-before < d
		switch {
		case state != x.state && proved:
			h.Fatalf("less than %v after %s of %v began, Claim or Transact returned %s, want %s", d, x.what, d, nameOf(state), nameOf(x.state))
		case state != x.state:
			return false
		}
		h.until(fmt.Sprintf("%s of %v ended and the key was free", x.what, d), func() bool {
			state := x.probe(k)
			if state != x.state && state != geminihook.Acquired {
				h.Fatalf("around the end of %s of %v, Claim or Transact returned %s, want %s or Acquired: nobody else holds the key",
					x.what, d, nameOf(state), nameOf(x.state))
			}
			return state == geminihook.Acquired
		})
		key = k
		return proved
	})
	return key
}

func takeover(h *harness) {
	var last claim
	k := h.holds(holding{
		what: "a lease", state: geminihook.InProgress,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			before := h.now()
			h.acquired(h.first, key, d, long)
			return before, nil
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.attempt(2, last, "after the lease of the first claim")
	h.expect(geminihook.InProgress, h.first, k, "after another claim took the key")
}

// subSecondLease repeats what a slow machine or one that sets its clock spoils.
func subSecondLease(h *harness) {
	const lease, tries, much = 300 * time.Millisecond, 100, 5
	late := 0
	for try := range tries {
		k := fmt.Sprint(key, try)
		before := h.now()
		h.acquired(h.first, k, lease, long)
		c := h.claim(h.second, k, lease, long)
		if h.now()-before >= lease {
			continue
		}
		if c.State != geminihook.InProgress || c.RetryIn > lease {
			h.Fatalf("less than %v after a claim with a lease of %v, Claim returned %s with RetryIn %v, want InProgress with at most the lease",
				lease, lease, nameOf(c.State), c.RetryIn)
		}
		h.pass(2 * lease)
		if h.claim(h.second, k, long, long).State == geminihook.Acquired {
			return
		}
		if late++; late == much {
			h.Fatalf("%d times in a row the key was InProgress %v after a claim with a lease of %v", much, 2*lease, lease)
		}
	}
	h.Fatalf("the machine or the backend is too slow to tell: two claims never took less than %v", lease)
}

func doneOutlivesLease(h *harness) {
	h.within(short, func(k string, d time.Duration) bool {
		before := h.now()
		c := h.acquired(h.first, k, d, d)
		err := h.first.Complete(h.Context(), k, c.Token, day)
		if errors.Is(err, geminihook.ErrLeaseLost) && h.now()-before >= d {
			return false // it may have been forgotten by then
		}
		h.ok(err, "Complete")
		h.pass(3 * d)
		h.expect(geminihook.Done, h.second, k, fmt.Sprintf("%v after a claim with a lease and a keep of %v, completed with a keep of %v", 3*d, d, day))
		return true
	})
}

func doneEnds(h *harness) {
	var first, last claim
	k := h.holds(holding{
		what: "the keep", state: geminihook.Done,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			first = h.acquired(h.first, key, long, long)
			before := h.now()
			return before, h.first.Complete(h.Context(), key, first.Token, d)
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.attempt(1, last, "after keep has passed since Complete")
	h.lost(h.first.Release(h.Context(), k, first.Token), "Release with a token from before the key was forgotten")
}

func keepFromComplete(h *harness) {
	h.within(short, func(k string, d time.Duration) bool {
		c := h.acquired(h.first, k, long, long)
		h.pass(d)
		before := h.now()
		h.ok(h.first.Complete(h.Context(), k, c.Token, d), "Complete")
		again := h.claim(h.second, k, long, long)
		if h.now()-before >= d {
			return false
		}
		if again.State != geminihook.Done {
			h.Fatalf("a claim ran for %v and was completed with a keep of %v; less than %v later, Claim returned %s, want Done",
				d, d, d, nameOf(again.State))
		}
		return true
	})
}

func repeatedComplete(h *harness) {
	c := h.acquired(h.first, key, long, long)
	h.ok(h.first.Complete(h.Context(), key, c.Token, long), "Complete")
	h.ok(h.first.Complete(h.Context(), key, c.Token, time.Millisecond), "the repeated Complete")
	h.pass(short)
	h.expect(geminihook.Done, h.second, key, fmt.Sprintf("after Complete with a keep of %v and a repeated one with a keep of 1ms", long))

	h.within(2*short, func(k string, d time.Duration) bool {
		c := h.acquired(h.first, k, long, long)
		before := h.now()
		h.ok(h.first.Complete(h.Context(), k, c.Token, d), "Complete")
		err := h.first.Complete(h.Context(), k, c.Token, day)
		if errors.Is(err, geminihook.ErrLeaseLost) && h.now()-before >= d {
			return false // it may have been forgotten by then
		}
		h.ok(err, "the repeated Complete")
		h.until(fmt.Sprintf("a key was forgotten that was completed with a keep of %v, and then again with a keep of %v", d, day), func() bool {
			return h.claim(h.second, k, long, long).State == geminihook.Acquired
		})
		return true
	})
}

func leaseLongerThanKeep(h *harness) {
	const keep = time.Millisecond
	check := func(k string, c claim, when string) {
		h.Helper()
		h.pass(short)
		h.expect(geminihook.InProgress, h.second, k, fmt.Sprintf("while a lease of %v runs that was claimed %s with a keep of %v", long, when, keep))
		h.ok(h.first.Complete(h.Context(), k, c.Token, long), "Complete")
	}
	check(key, h.acquired(h.first, key, long, keep), "first")

	h.acquired(h.first, key+"2", keep, day)
	check(key+"2", h.afterwards(h.first, key+"2", long, keep), "after another's lease had ended")

	c := h.acquired(h.first, key+"3", long, day)
	h.ok(h.first.Release(h.Context(), key+"3", c.Token), "Release")
	check(key+"3", h.acquired(h.first, key+"3", long, keep), "after a Release")
}

func claimExtends(h *harness) {
	for name, end := range map[string]func(key string, c claim){
		"took over a lapsed key": func(string, claim) {},
		"followed a Release": func(key string, c claim) {
			if err := h.first.Release(h.Context(), key, c.Token); !errors.Is(err, geminihook.ErrLeaseLost) {
				h.ok(err, "Release") // which may come too late, after keep
			}
		},
	} {
		h.within(short, func(k string, d time.Duration) bool {
			end(k+name, h.acquired(h.first, k+name, d/4, d))
			c := h.afterwards(h.first, k+name, long, day)
			if c.Attempt == 1 {
				return false // it was forgotten before it was claimed again
			}
			h.pass(2 * d)
			h.expect(geminihook.InProgress, h.second, k+name, fmt.Sprintf(
				"while a lease of %v runs, %v after a claim that %s of which lease and keep were %v and %v", long, 2*d, name, d/4, d))
			h.ok(h.first.Complete(h.Context(), k+name, c.Token, long), "Complete")
			return true
		})
	}
}

func lapsedRemembered(h *harness) {
	const claimed, completed, released, free = key + "1", key + "2", key + "3", key + "4"
	h.acquired(h.first, claimed, short, day)
	second := h.acquired(h.first, completed, short, day)
	third := h.acquired(h.first, released, short, day)
	fourth := h.acquired(h.first, free, short, day)
	h.ok(h.first.Release(h.Context(), free, fourth.Token), "Release")
	h.linger()
	h.attempt(2, h.acquired(h.second, claimed, long, long), "long after a lease, within keep")
	h.ok(h.first.Complete(h.Context(), completed, second.Token, long), "Complete long after the lease, within keep,")
	h.expect(geminihook.Done, h.second, completed, "after a late Complete")
	h.ok(h.first.Release(h.Context(), released, third.Token), "Release long after the lease, within keep,")
	h.attempt(2, h.acquired(h.second, released, long, long), "after a late Release, within keep")
	h.attempt(2, h.acquired(h.second, free, long, long), "long after a Release, within keep")
}

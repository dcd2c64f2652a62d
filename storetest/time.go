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
		why: "Too early, and two runs of one event are active at once; never, and a crash blocks the event.",
	},
	{
		name: "sub-second lease", test: subSecondLease,
		why: "Rounding down lets two runs be active at once, and rounding up blocks an event.",
	},
	{
		name: "done outlives the lease", test: doneOutlivesLease,
		why: "Otherwise duplicates run the function again.",
	},
	{
		name: "done ends after keep", test: doneEnds,
		why: "Otherwise the store grows forever, or a new event with an old key is lost.",
	},
	{
		name: "keep counts from complete", test: keepFromComplete,
		why: "Otherwise a long run is forgotten too early, and its duplicate runs the function again.",
	},
	{
		name: "repeated complete keeps the expiry", test: repeatedComplete,
		why: "A repeated call may have another keep, and must not move the end of what was promised.",
	},
	{
		name: "lease longer than keep", test: leaseLongerThanKeep,
		why: "Otherwise two runs of one event are active at once.",
	},
	{
		name: "each claim extends the expiry", test: claimExtends,
		why: "Otherwise the key is forgotten while its second run is active.",
	},
	{
		name: "a key is remembered after its lease", test: rememberedAfterLease,
		why: "Otherwise a late Complete or Release is refused, and the count of attempts starts again.",
	},
}

// expiring is something that keeps a key in a state for a time.
type expiring struct {
	what  string
	state geminihook.State

	// begin makes the state begin, for d, and returns the time before that.
	begin func(key string, d time.Duration) (before time.Duration, err error)

	// probe claims the key if it is free, and returns the state.
	probe func(key string) geminihook.State
}

// wantExpiry checks that the key is in the state until it should be free. It
// returns the key.
func (h *harness) wantExpiry(x expiring) (key string) {
	h.t.Helper()
	h.tryLonger(2*short, func(k string, d time.Duration) bool {
		before, err := x.begin(k, d)
		if err != nil {
			h.t.Fatalf("the call that begins %s failed: %v", x.what, err)
		}
		h.pass(d * 9 / 10)
		state := x.probe(k)
		proved := h.now()-before < d
		switch {
		case state != x.state && proved:
			h.t.Fatalf("less than %v after %s of %v began, Claim or Transact returned %s, want %s",
				d, x.what, d, state, x.state)
		case state != x.state:
			return false
		}
		h.eventually(fmt.Sprintf("%s of %v ended and the key was free", x.what, d), func() bool {
			state := x.probe(k)
			if state != x.state && state != geminihook.Acquired {
				h.t.Fatalf("around the end of %s of %v, Claim or Transact returned %s, want %s or Acquired: nobody else holds the key",
					x.what, d, state, x.state)
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
	k := h.wantExpiry(expiring{
		what: "a lease", state: geminihook.InProgress,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			before := h.now()
			h.mustAcquire(h.first, key, d, long)
			return before, nil
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.wantAttempt(2, last, "after the lease of the first claim")
	h.wantState(geminihook.InProgress, h.first, k, "after another claim took the key")
}

// subSecondLease repeats what a slow machine or one that sets its clock spoils.
func subSecondLease(h *harness) {
	const lease, tries, much = 300 * time.Millisecond, 100, 5
	late := 0
	for try := range tries {
		k := fmt.Sprint(key, try)
		before := h.now()
		h.mustAcquire(h.first, k, lease, long)
		c := h.claim(h.second, k, lease, long)
		if h.now()-before >= lease {
			continue
		}
		if c.State != geminihook.InProgress || c.RetryIn > lease {
			h.t.Fatalf("less than %v after a claim with a lease of %v, Claim returned %s with RetryIn %v, want InProgress with at most the lease",
				lease, lease, c.State, c.RetryIn)
		}
		h.pass(2 * lease)
		if h.claim(h.second, k, long, long).State == geminihook.Acquired {
			return
		}
		if late++; late == much {
			h.t.Fatalf("%d times in a row the key was InProgress %v after a claim with a lease of %v",
				much, 2*lease, lease)
		}
	}
	h.t.Fatalf("the machine or the backend is too slow to tell: two claims never took less than %v",
		lease)
}

func doneOutlivesLease(h *harness) {
	h.tryLonger(short, func(k string, d time.Duration) bool {
		before := h.now()
		c := h.mustAcquire(h.first, k, d, d)
		err := h.first.Complete(h.ctx, k, c.Token, day)
		if errors.Is(err, geminihook.ErrLeaseLost) && h.now()-before >= d {
			return false // it may have been forgotten by then
		}
		h.wantNoError(err, "Complete")
		h.pass(3 * d)
		h.wantState(geminihook.Done, h.second, k,
			fmt.Sprintf("%v after a claim with a lease and a keep of %v, completed with a keep of %v",
				3*d, d, day))
		return true
	})
}

func doneEnds(h *harness) {
	var first, last claim
	k := h.wantExpiry(expiring{
		what: "the keep", state: geminihook.Done,
		begin: func(key string, d time.Duration) (time.Duration, error) {
			first = h.mustAcquire(h.first, key, long, long)
			before := h.now()
			return before, h.first.Complete(h.ctx, key, first.Token, d)
		},
		probe: func(key string) geminihook.State {
			last = h.claim(h.second, key, long, long)
			return last.State
		},
	})
	h.wantAttempt(1, last, "after keep has passed since Complete")
	h.wantLeaseLost(h.first.Release(h.ctx, k, first.Token),
		"Release with a token from before the key was forgotten")
}

func keepFromComplete(h *harness) {
	h.tryLonger(short, func(k string, d time.Duration) bool {
		c := h.mustAcquire(h.first, k, long, long)
		h.pass(d)
		before := h.now()
		h.wantNoError(h.first.Complete(h.ctx, k, c.Token, d), "Complete")
		again := h.claim(h.second, k, long, long)
		if h.now()-before >= d {
			return false
		}
		if again.State != geminihook.Done {
			h.t.Fatalf("a claim ran for %v and was completed with a keep of %v; less than %v later, Claim returned %s, want Done",
				d, d, d, again.State)
		}
		return true
	})
}

func repeatedComplete(h *harness) {
	c := h.mustAcquire(h.first, key, long, long)
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, long), "Complete")
	h.wantNoError(h.first.Complete(h.ctx, key, c.Token, time.Millisecond), "the repeated Complete")
	h.pass(short)
	h.wantState(geminihook.Done, h.second, key,
		fmt.Sprintf("after Complete with a keep of %v and a repeated one with a keep of 1ms", long))

	h.tryLonger(2*short, func(k string, d time.Duration) bool {
		c := h.mustAcquire(h.first, k, long, long)
		before := h.now()
		h.wantNoError(h.first.Complete(h.ctx, k, c.Token, d), "Complete")
		err := h.first.Complete(h.ctx, k, c.Token, day)
		if errors.Is(err, geminihook.ErrLeaseLost) && h.now()-before >= d {
			return false // it may have been forgotten by then
		}
		h.wantNoError(err, "the repeated Complete")
		forgotten := fmt.Sprintf(
			"a key was forgotten that was completed with a keep of %v, and then again with %v",
			d, day)
		h.eventually(forgotten, func() bool {
			return h.claim(h.second, k, long, long).State == geminihook.Acquired
		})
		return true
	})
}

func leaseLongerThanKeep(h *harness) {
	const keep = time.Millisecond
	check := func(k string, c claim, when string) {
		h.t.Helper()
		h.pass(short)
		h.wantState(geminihook.InProgress, h.second, k,
			fmt.Sprintf("while a lease of %v runs that was claimed %s with a keep of %v",
				long, when, keep))
		h.wantNoError(h.first.Complete(h.ctx, k, c.Token, long), "Complete")
	}
	check(key, h.mustAcquire(h.first, key, long, keep), "first")

	h.mustAcquire(h.first, key+"2", keep, day)
	check(key+"2", h.claimWhenFree(h.first, key+"2", long, keep), "after another's lease had ended")

	c := h.mustAcquire(h.first, key+"3", long, day)
	h.wantNoError(h.first.Release(h.ctx, key+"3", c.Token), "Release")
	check(key+"3", h.mustAcquire(h.first, key+"3", long, keep), "after a Release")
}

func claimExtends(h *harness) {
	for name, end := range map[string]func(key string, c claim){
		"took over an expired lease": func(string, claim) {},
		"followed a Release": func(key string, c claim) {
			err := h.first.Release(h.ctx, key, c.Token)
			if !errors.Is(err, geminihook.ErrLeaseLost) {
				h.wantNoError(err, "Release") // which may come too late, after keep
			}
		},
	} {
		h.tryLonger(short, func(k string, d time.Duration) bool {
			end(k+name, h.mustAcquire(h.first, k+name, d/4, d))
			c := h.claimWhenFree(h.first, k+name, long, day)
			if c.Attempt == 1 {
				return false // it was forgotten before it was claimed again
			}
			h.pass(2 * d)
			earlier := fmt.Sprintf("of which lease and keep were %v and %v", d/4, d)
			h.wantState(geminihook.InProgress, h.second, k+name,
				fmt.Sprintf("while a lease of %v runs, %v after a claim that %s %s",
					long, 2*d, name, earlier))
			h.wantNoError(h.first.Complete(h.ctx, k+name, c.Token, long), "Complete")
			return true
		})
	}
}

func rememberedAfterLease(h *harness) {
	const claimed, completed, released, free = key + "1", key + "2", key + "3", key + "4"
	h.mustAcquire(h.first, claimed, short, day)
	second := h.mustAcquire(h.first, completed, short, day)
	third := h.mustAcquire(h.first, released, short, day)
	fourth := h.mustAcquire(h.first, free, short, day)
	h.wantNoError(h.first.Release(h.ctx, free, fourth.Token), "Release")
	h.passLongTime()
	h.wantAttempt(2, h.mustAcquire(h.second, claimed, long, long),
		"long after a lease, within keep")
	h.wantNoError(h.first.Complete(h.ctx, completed, second.Token, long),
		"Complete long after the lease, within keep,")
	h.wantState(geminihook.Done, h.second, completed, "after a late Complete")
	h.wantNoError(h.first.Release(h.ctx, released, third.Token),
		"Release long after the lease, within keep,")
	h.wantAttempt(2, h.mustAcquire(h.second, released, long, long),
		"after a late Release, within keep")
	h.wantAttempt(2, h.mustAcquire(h.second, free, long, long), "long after a Release, within keep")
}

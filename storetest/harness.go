package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	long   = time.Hour              // never ends in a test
	day    = 24 * time.Hour         // a keep that never ends, not even after passLongTime
	short  = 100 * time.Millisecond // ends soon
	step   = 5 * time.Millisecond   // between two observations
	limit  = 20 * time.Second       // for what should happen at once, on a slow machine
	racing = 600 * time.Millisecond // spent on one kind of race
	key    = "msg_2hT5vJ9sLQx8"
)

// harness is what one subtest works with.
type harness struct {
	t        *testing.T
	ctx      context.Context                     // of the subtest
	advance  func(t *testing.T, d time.Duration) // nil if the store uses real time
	began    time.Time
	advanced time.Duration

	// The handles of a Store, nil if only a Transactor is tested.
	first, second geminihook.Store

	// The handles of a Transactor, nil if a Store is tested.
	firstTransactor, secondTransactor geminihook.Transactor

	writes Writes
	waits  bool
}

func newHarness(t *testing.T, advance func(t *testing.T, d time.Duration)) *harness {
	t.Helper()
	return &harness{t: t, ctx: t.Context(), advance: advance, began: time.Now()}
}

// claim is the result of Claim and the token that it was called with.
type claim struct {
	geminihook.Claim
	Token string
}

// handle alternates between the two handles.
func (h *harness) handle(i int) geminihook.Store {
	if i%2 == 1 {
		return h.second
	}
	return h.first
}

// transactor alternates between the two handles.
func (h *harness) transactor(i int) geminihook.Transactor {
	if i%2 == 1 {
		return h.secondTransactor
	}
	return h.firstTransactor
}

// now returns how much time has passed for the test. What a call does happens,
// by the store's clock, between what now returns before it and after it.
func (h *harness) now() time.Duration {
	if h.advance != nil {
		return h.advanced
	}
	return time.Since(h.began)
}

// pass lets time pass.
func (h *harness) pass(d time.Duration) {
	h.t.Helper()
	if h.advance != nil {
		h.advance(h.t, d)
		h.advanced += d
		return
	}
	h.wait(d)
}

// wait waits for real time to pass.
func (h *harness) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-h.ctx.Done():
	}
}

// passLongTime lets so much time pass that a store that forgets soon has forgotten.
func (h *harness) passLongTime() {
	h.t.Helper()
	if h.advance != nil {
		h.pass(day / 2)
		return
	}
	h.wait(2 * time.Second)
}

// eventually observes until what is described holds.
func (h *harness) eventually(what string, holds func() bool) {
	h.t.Helper()
	for end := h.now() + limit; h.now() < end; h.pass(step) {
		if holds() {
			return
		}
	}
	h.t.Fatalf("within %v it did not come true that %s", limit, what)
}

// tryLonger tries, with a new key and a duration that doubles each time, until try
// returns true because its calls were close enough in time to prove something.
func (h *harness) tryLonger(first time.Duration, try func(key string, d time.Duration) bool) {
	h.t.Helper()
	for d := first; d <= limit; d *= 2 {
		if try(fmt.Sprint(key, "/", d), d) {
			return
		}
	}
	h.t.Fatalf("the machine or the backend is too slow to tell: two calls in a row took more than %v",
		limit/2)
}

// claim must not fail.
func (h *harness) claim(store geminihook.Store, key string, lease, keep time.Duration) claim {
	h.t.Helper()
	return h.claimWith(store, key, rand.Text(), lease, keep)
}

// claimWith must not fail.
func (h *harness) claimWith(
	store geminihook.Store, key, token string, lease, keep time.Duration,
) claim {
	h.t.Helper()
	c, err := store.Claim(h.ctx, key, token, lease, keep)
	h.checkClaim(key, c, err)
	return claim{Claim: c, Token: token}
}

// checkClaim checks what holds for every Claim.
func (h *harness) checkClaim(key string, c geminihook.Claim, err error) {
	h.t.Helper()
	switch {
	case err != nil:
		h.t.Fatalf("Claim of %.40q failed: %v", key, err)
	case c.State < geminihook.Acquired || c.State > geminihook.Done:
		h.t.Fatalf("Claim of %.40q returned %s and no error", key, c.State)
	}
}

// mustAcquire claims a key that must be free.
func (h *harness) mustAcquire(store geminihook.Store, key string, lease, keep time.Duration) claim {
	h.t.Helper()
	c := h.claim(store, key, lease, keep)
	if c.State != geminihook.Acquired {
		h.t.Fatalf("Claim of the free key %.40q returned %s, want Acquired", key, c.State)
	}
	return c
}

// wantState claims a key and checks the state. It is used if another state than
// Acquired is expected, or if the key is not used again.
func (h *harness) wantState(want geminihook.State, store geminihook.Store, key, when string) claim {
	h.t.Helper()
	c := h.claim(store, key, long, long)
	if c.State != want {
		h.t.Fatalf("%s, Claim of %.40q returned %s, want %s", when, key, c.State, want)
	}
	return c
}

// claimWhenFree claims the key until it is free, and returns the claim.
func (h *harness) claimWhenFree(
	store geminihook.Store, key string, lease, keep time.Duration,
) (c claim) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("Claim of %.40q returned Acquired", key), func() bool {
		c = h.claim(store, key, lease, keep)
		return c.State == geminihook.Acquired
	})
	return c
}

// wantAttempt checks the count of a claim.
func (h *harness) wantAttempt(want int, c claim, when string) {
	h.t.Helper()
	if c.Attempt != want {
		h.t.Errorf("%s, Claim returned Acquired with Attempt %d, want %d", when, c.Attempt, want)
	}
}

// wantNoError checks the error of a call that must succeed.
func (h *harness) wantNoError(err error, call string) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%s returned the error %q, want none", call, err)
	}
}

// wantLeaseLost checks the error of a call whose token does not have the key.
func (h *harness) wantLeaseLost(err error, call string) {
	h.t.Helper()
	if !errors.Is(err, geminihook.ErrLeaseLost) {
		h.t.Fatalf("%s returned %v, want ErrLeaseLost", call, err)
	}
}

// wantFailure checks the error of a call that the store could not carry out.
func (h *harness) wantFailure(err error, call string) {
	h.t.Helper()
	if err == nil || errors.Is(err, geminihook.ErrLeaseLost) {
		h.t.Fatalf("%s returned %v, want an error that is not ErrLeaseLost", call, err)
	}
}

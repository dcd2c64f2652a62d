package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	long   = time.Hour              // never ends in a test
	day    = 24 * time.Hour         // a keep that never ends, not even when linger advances the clock
	short  = 100 * time.Millisecond // ends soon
	step   = 5 * time.Millisecond   // between two observations
	limit  = 20 * time.Second       // for what should happen at once, on a slow machine
	racing = time.Second            // spent on one kind of race
	key    = "msg_2hT5vJ9sLQx8"
)

// harness is what one subtest works with.
type harness struct {
	*testing.T
	advance  func(t *testing.T, d time.Duration) // nil if the store uses real time
	began    time.Time
	advanced time.Duration

	first, second            geminihook.Store      // nil if only a Transactor is tested
	transactor1, transactor2 geminihook.Transactor // nil if a Store is tested
	writes                   Writes
	waits                    bool
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
		return h.transactor2
	}
	return h.transactor1
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
	h.Helper()
	if h.advance != nil {
		h.advance(h.T, d)
		h.advanced += d
		return
	}
	h.wait(d)
}

// wait waits for real time to pass.
func (h *harness) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-h.Context().Done():
	}
}

// linger lets so much time pass that a store that forgets soon has forgotten.
func (h *harness) linger() {
	h.Helper()
	if h.advance != nil {
		h.pass(day / 2)
		return
	}
	h.wait(3 * time.Second)
}

// until observes until what is reported holds.
func (h *harness) until(what string, holds func() bool) {
	h.Helper()
	for end := h.now() + limit; h.now() < end; h.pass(step) {
		if holds() {
			return
		}
	}
	h.Fatalf("within %v it did not come true that %s", limit, what)
}

// within tries, with a fresh key and a duration that doubles each time, until
// the calls of one try were close enough in time to prove something.
func (h *harness) within(first time.Duration, try func(key string, d time.Duration) (proved bool)) {
	h.Helper()
	for d := first; d <= limit; d *= 2 {
		if try(fmt.Sprint(key, "/", d), d) {
			return
		}
	}
	h.Fatalf("the machine or the backend is too slow to tell: two calls in a row took more than %v", limit/2)
}

func nameOf(s geminihook.State) string {
	switch s {
	case geminihook.Acquired:
		return "Acquired"
	case geminihook.InProgress:
		return "InProgress"
	case geminihook.Done:
		return "Done"
	}
	return fmt.Sprintf("the invalid state %d", int(s))
}

// claim must not fail.
func (h *harness) claim(store geminihook.Store, key string, lease, keep time.Duration) claim {
	h.Helper()
	return h.claimWith(store, key, rand.Text(), lease, keep)
}

// claimWith must not fail.
func (h *harness) claimWith(store geminihook.Store, key, token string, lease, keep time.Duration) claim {
	h.Helper()
	c, err := store.Claim(h.Context(), key, token, lease, keep)
	h.valid(key, c, err)
	return claim{Claim: c, Token: token}
}

// valid checks what every Claim owes.
func (h *harness) valid(key string, c geminihook.Claim, err error) {
	h.Helper()
	switch {
	case err != nil:
		h.Fatalf("Claim of %.40q failed: %v", key, err)
	case c.State != geminihook.Acquired && c.State != geminihook.InProgress && c.State != geminihook.Done:
		h.Fatalf("Claim of %.40q returned %s and no error", key, nameOf(c.State))
	}
}

// acquired claims a key that must be free.
func (h *harness) acquired(store geminihook.Store, key string, lease, keep time.Duration) claim {
	h.Helper()
	c := h.claim(store, key, lease, keep)
	if c.State != geminihook.Acquired {
		h.Fatalf("Claim of the free key %.40q returned %s, want Acquired", key, nameOf(c.State))
	}
	return c
}

// expect claims a key and checks the state. It is used if another state than
// Acquired is expected, or if the key is not used afterwards.
func (h *harness) expect(want geminihook.State, store geminihook.Store, key, when string) claim {
	h.Helper()
	c := h.claim(store, key, long, long)
	if c.State != want {
		h.Fatalf("%s, Claim of %.40q returned %s, want %s", when, key, nameOf(c.State), nameOf(want))
	}
	return c
}

// afterwards claims the key until it is free, and returns the claim.
func (h *harness) afterwards(store geminihook.Store, key string, lease, keep time.Duration) (c claim) {
	h.Helper()
	h.until(fmt.Sprintf("Claim of %.40q returned Acquired", key), func() bool {
		c = h.claim(store, key, lease, keep)
		return c.State == geminihook.Acquired
	})
	return c
}

// attempt checks the count of a claim.
func (h *harness) attempt(want int, c claim, when string) {
	h.Helper()
	if c.Attempt != want {
		h.Errorf("%s, Claim returned Acquired with Attempt %d, want %d", when, c.Attempt, want)
	}
}

// ok checks the error of a call that must succeed.
func (h *harness) ok(err error, call string) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s returned the error %q, want none", call, err)
	}
}

// lost checks the error of a call whose token does not hold the key.
func (h *harness) lost(err error, call string) {
	h.Helper()
	if !errors.Is(err, geminihook.ErrLeaseLost) {
		h.Fatalf("%s returned %v, want ErrLeaseLost", call, err)
	}
}

// failed checks the error of a call that the store could not carry out.
func (h *harness) failed(err error, call string) {
	h.Helper()
	if err == nil || errors.Is(err, geminihook.ErrLeaseLost) {
		h.Fatalf("%s returned %v, want an error that is not ErrLeaseLost", call, err)
	}
}

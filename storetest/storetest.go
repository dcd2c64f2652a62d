// Package storetest holds a [geminihook.Store] to its contract, in the manner
// of testing/slogtest. A test of a store calls [Run]:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) geminihook.Store { return newEmptyStore(t) })
//	}
//
// or, where it can give a second handle to the same backend, a clock or a
// backend that is gone, [Suite.Run]. There is one subtest a behaviour, each
// with a store of its own. A store that is a [geminihook.Transactor] is held to
// that contract too.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/require"
)

// Suite says how to test a store. Only New is needed.
type Suite struct {
	// New returns a store that knows no key. It is called once a subtest.
	New func(t *testing.T) geminihook.Store

	// Second returns another handle to the same keys, as another process has
	// it. Nil means that the first handle is used in its place.
	Second func(t *testing.T, first geminihook.Store) geminihook.Store

	// Advance moves the store's clock forward. Nil means that the store goes
	// by real time: then the suite waits, some seconds in all.
	Advance func(t *testing.T, d time.Duration)

	// Gone returns a store whose backend cannot be reached. Nil means that
	// this is not tested.
	Gone func(t *testing.T) geminihook.Store
}

// Run tests the stores that newStore returns, which must know no key.
func Run(t *testing.T, newStore func(t *testing.T) geminihook.Store) {
	t.Helper()
	Suite{New: newStore}.Run(t)
}

// Run runs a subtest for each behaviour.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	require.NotNil(t, s.New, "storetest: Suite needs New")
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) { b.test(s.harness(t)) })
	}
	if s.Gone != nil {
		t.Run("gone", func(t *testing.T) { gone(t, s.Gone(t)) })
	}
	if _, ok := s.New(t).(geminihook.Transactor); !ok {
		return
	}
	for _, b := range transactions {
		t.Run("transact "+b.name, func(t *testing.T) { b.test(s.harness(t)) })
	}
	if s.Gone != nil {
		t.Run("transact gone", func(t *testing.T) { transactGone(t, s.Gone(t)) })
	}
}

type behaviour struct {
	name string
	test func(h *harness)
}

// behaviours are those of every store, transactions those of a Transactor.
var (
	behaviours = []behaviour{
		{"claim of a new key", newKey},
		{"claim while in progress", whileInProgress},
		{"one winner", oneWinner},
		{"keys are apart", keysApart},
		{"takeover after the lease, not before", takeover},
		{"stale token", staleToken},
		{"wrong token", wrongToken},
		{"late complete", lateComplete},
		{"complete twice", completeTwice},
		{"release", release},
		{"release after complete", releaseAfterComplete},
		{"done outlives the lease", doneOutlivesLease},
		{"done ends after keep", doneEnds},
		{"done is never claimed", doneNeverClaimed},
		{"keep of a century", longKeep},
		{"lease longer than keep", leaseLongerThanKeep},
		{"sub-second lease", subSecondLease},
		{"two handles", twoHandles},
		{"hostile keys", hostileKeys},
		{"nul in a key", nulKey},
		{"cancelled context", cancelled},
	}
	transactions = []behaviour{
		{"commits", transactCommits},
		{"rolls back on error", transactError},
		{"rolls back on panic", transactPanic},
		{"permanent", transactPermanent},
		{"runs once under races", transactRaces},
		{"does not wait for another", transactDoesNotWait},
		{"done ends after keep", transactDoneEnds},
		{"respects claims", transactRespectsClaims},
		{"is respected by claims", transactRespected},
		{"hostile keys", transactHostileKeys},
		{"cancelled context", transactCancelled},
		{"cancelled while it runs", transactCancelledInside},
	}
)

const (
	long  = time.Hour              // never runs out in a test
	short = 100 * time.Millisecond // runs out soon
	step  = 5 * time.Millisecond   // between two looks
	limit = 30 * time.Second       // for what should come at once, on a machine that is slow
	key   = "msg_2hT5vJ9sLQx8"
)

var errOwn = errors.New("the function's own error")

// harness is what one subtest works with.
type harness struct {
	*testing.T
	suite         Suite
	first, second geminihook.Store
	began         time.Time
	advanced      time.Duration
}

func (s Suite) harness(t *testing.T) *harness {
	t.Helper()
	h := &harness{T: t, suite: s, first: s.New(t), began: time.Now()}
	h.second = h.first
	if s.Second != nil {
		h.second = s.Second(t, h.first)
	}
	return h
}

// now is how much time has passed for the store.
func (h *harness) now() time.Duration {
	if h.suite.Advance != nil {
		return h.advanced
	}
	return time.Since(h.began)
}

// pass lets time pass.
func (h *harness) pass(d time.Duration) {
	h.Helper()
	if h.suite.Advance != nil {
		h.suite.Advance(h.T, d)
		h.advanced += d
		return
	}
	select {
	case <-time.After(d):
	case <-h.Context().Done():
	}
}

func (h *harness) claim(store geminihook.Store, key string, lease, keep time.Duration) geminihook.Claim {
	h.Helper()
	c, err := store.Claim(h.Context(), key, lease, keep)
	require.NoError(h, err)
	require.Contains(h, []geminihook.State{geminihook.Acquired, geminihook.InProgress, geminihook.Done}, c.State, "the state of a claim")
	return c
}

// acquired claims what must be free.
func (h *harness) acquired(store geminihook.Store, key string, lease time.Duration) geminihook.Claim {
	h.Helper()
	c := h.claim(store, key, lease, long)
	require.Equal(h, geminihook.Acquired, c.State, "the key is free")
	require.NotEmpty(h, c.Token, "an Acquired claim has a token")
	return c
}

// state claims for so short a time that the claim does not matter afterwards.
func (h *harness) state(store geminihook.Store, key string) geminihook.State {
	h.Helper()
	return h.claim(store, key, long, long).State
}

// afterwards claims again and again until the key is free, and returns the
// claim and when, at the latest, it was made.
func (h *harness) afterwards(store geminihook.Store, key string) (geminihook.Claim, time.Duration) {
	h.Helper()
	for end := h.now() + limit; h.now() < end; h.pass(step) {
		if c := h.claim(store, key, long, long); c.State == geminihook.Acquired {
			return c, h.now()
		}
	}
	require.FailNow(h, "the key did not become free")
	return geminihook.Claim{}, 0
}

func lost(h *harness, err error, what string) {
	h.Helper()
	require.ErrorIs(h, err, geminihook.ErrLeaseLost, what)
}

// failed: the store failed, which says nothing about the key.
func failed(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotErrorIs(t, err, geminihook.ErrLeaseLost)
}

// gone: each method fails in time, and no answer looks like a verdict.
func gone(t *testing.T, store geminihook.Store) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := store.Claim(ctx, key, long, long)
		if err == nil || c.State != 0 {
			t.Errorf("Claim of a store that is gone: %+v, %v: want no state and an error", c, err)
		}
		for name, err := range map[string]error{
			"Complete": store.Complete(ctx, key, "1", long),
			"Release":  store.Release(ctx, key, "1"),
		} {
			if err == nil || errors.Is(err, geminihook.ErrLeaseLost) {
				t.Errorf("%s of a store that is gone: %v: want an error, and not ErrLeaseLost", name, err)
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(limit):
		require.FailNow(t, "a store that is gone must answer when its context ends")
	}
}

// Package storetest tests that a [geminihook.Store] or a
// [geminihook.Transactor] keeps its contract, in the manner of testing/slogtest.
// The test of a store calls [Suite.Run], that of a transactor
// [TransactorSuite.Run], and that of a store that is both calls both:
//
//	func TestStore(t *testing.T) {
//		storetest.Suite{
//			New:    func(t *testing.T) geminihook.Store { … },
//			Second: func(t *testing.T, first geminihook.Store) geminihook.Store { … },
//			Gone:   func(t *testing.T) geminihook.Store { … },
//		}.Run(t)
//	}
//
// Every behavior is a subtest with a fresh store. A subtest that fails reports
// what the store did and why it matters; the comments of [geminihook.Store] and
// [geminihook.Transactor] are the contract.
//
// The suites also work on a slow machine or with a slow backend. If something
// must happen, such as the end of a lease, the suite looks repeatedly until it
// does, for up to 20 seconds. If something must not have happened yet, the suite
// measures the time around the calls: if so much has passed that the result
// proves nothing, it tries again with a longer duration. With a store that uses
// real time, each suite takes about 20 seconds.
package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
)

// Suite describes how to test a Store. New is required, and so is Second, unless
// OneProcess is set.
type Suite struct {
	// New returns a store that has no keys yet. It is called at least once per subtest.
	New func(t *testing.T) geminihook.Store

	// Second returns another handle to the keys of the store that New has just
	// returned, as another process would have it: with its own connections, and
	// nothing in common with the first but the backend.
	Second func(t *testing.T, first geminihook.Store) geminihook.Store

	// OneProcess means that the store lives in the memory of one process, such
	// as a MemoryStore, so that there is no second handle.
	OneProcess bool

	// Advance moves the store's clock forward. Nil means that the store uses
	// real time, and the suite waits.
	Advance func(t *testing.T, d time.Duration)

	// Gone returns a store whose backend cannot be reached. A backend that
	// accepts connections and never responds is a better test than one that
	// refuses them. Nil means that this is not tested.
	Gone func(t *testing.T) geminihook.Store

	// Bounded returns a store that has no keys yet and holds at most so many.
	// Nil means that the store has no bound.
	Bounded func(t *testing.T, keys int) geminihook.Store
}

// Run tests the stores that newStore returns, which have no keys yet and live in
// the memory of one process. It is [Suite.Run] with New and OneProcess set.
func Run(t *testing.T, newStore func(t *testing.T) geminihook.Store) {
	t.Helper()
	Suite{New: newStore, OneProcess: true}.Run(t)
}

// Run runs one subtest per behavior.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	if s.New == nil {
		t.Fatal("storetest: Suite.New is nil")
	}
	if s.Second == nil && !s.OneProcess {
		t.Fatal("storetest: Suite.Second is nil: several instances share a store, so the suite needs a second handle; " +
			"set Suite.OneProcess if the store lives in the memory of one process")
	}
	runAll(t, storeBehaviors(), s.has(), func(t *testing.T, needs need) *harness {
		h := newHarness(t, s.Advance)
		switch needs {
		case needsGone:
			h.first = s.Gone(t)
			return h
		case needsBounded:
			h.first = s.Bounded(t, boundedKeys)
			return h
		}
		h.first = s.New(t)
		h.second = h.first
		if s.Second != nil {
			h.second = s.Second(t, h.first)
			h.refuseSame(h.first, h.second)
		}
		return h
	})
}

func (s Suite) has() map[need]bool {
	return map[need]bool{
		needsNothing: true,
		needsSecond:  s.Second != nil,
		needsGone:    s.Gone != nil,
		needsBounded: s.Bounded != nil,
	}
}

func storeBehaviors() []behavior {
	return slices.Concat(claimBehaviors, tokenBehaviors, completeBehaviors, timeBehaviors,
		forgettingBehaviors, renewBehaviors, keyBehaviors, raceBehaviors, goneBehaviors)
}

// behavior is one subtest.
type behavior struct {
	name  string
	why   string // it matters; logged if the subtest fails
	needs need
	test  func(h *harness)
}

// need is what a behavior needs besides an ordinary handle. Without it, the
// behavior is not tested.
type need int

const (
	needsNothing need = iota
	needsSecond       // a true second handle
	needsGone         // a handle whose backend cannot be reached
	needsBounded      // a store with a bound
	needsStore        // a Transactor that is also a Store
	needsEndings      // Writes.Endings
)

// runAll runs a subtest for each behavior that has what it needs.
func runAll(
	t *testing.T, all []behavior, has map[need]bool, open func(t *testing.T, needs need) *harness,
) {
	t.Helper()
	for _, b := range all {
		if !has[b.needs] {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Log("Why it matters: " + b.why)
				}
			}()
			b.test(open(t, b.needs))
		})
	}
}

// refuseSame refuses a second handle that is the first.
func (h *harness) refuseSame(first, second any) {
	h.t.Helper()
	if second == nil {
		h.t.Fatal("storetest: Second returned nil")
	}
	if reflect.ValueOf(first).Comparable() && first == second {
		h.t.Fatal("storetest: Second returned the first handle, which tests nothing: return one with its own connections")
	}
}

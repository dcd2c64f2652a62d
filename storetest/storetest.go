// Package storetest tests that a [geminihook.Store] keeps its contract, in the
// manner of testing/slogtest. The test of a store calls [Run]:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) geminihook.Store { return newEmptyStore(t) })
//	}
//
// [Suite.Run] tests more: a second handle to the same backend, a store with a
// clock that the test moves, and a backend that cannot be reached. A store that
// is also a [geminihook.Renewer] or a [geminihook.Transactor] is held to that
// contract, too; for a Transactor the suite needs [Suite.Writes].
//
// Every behavior is a subtest with a fresh store. A subtest that fails reports
// what the store did, what the contract says and why it matters.
//
// The suite also works on a slow machine or with a slow backend. If something
// must happen, such as the end of a lease, the suite looks repeatedly until it
// does, for up to 20 seconds. If something must not have happened yet, the suite
// measures the time around the calls: if so much has passed that the result
// proves nothing, it tries again with a longer duration. With a store that uses
// real time, the suite takes about 20 seconds.
package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
)

// Suite describes how to test a store. Only New is required, and Writes if the
// store is a geminihook.Transactor:
//
//	storetest.Suite{
//		New:    func(t *testing.T) geminihook.Store { return newEmptyStore(t).Transactional() },
//		Writes: func(t *testing.T, _ geminihook.Store) storetest.Writes {
//			return storetest.Writes{Write: insertName, Count: countNames}
//		},
//	}.Run(t)
type Suite struct {
	// New returns a store that has no keys yet. It is called at least once per
	// subtest.
	New func(t *testing.T) geminihook.Store

	// Second returns another handle to the keys of the store that New has just
	// returned, as another process would have it. Nil means that the first
	// handle is used in its place.
	Second func(t *testing.T, first geminihook.Store) geminihook.Store

	// Advance moves the store's clock forward. Nil means that the store uses
	// real time, and the suite waits.
	Advance func(t *testing.T, d time.Duration)

	// Gone returns a store whose backend cannot be reached. A backend that
	// accepts connections and never responds is a better test than one that
	// refuses them. Nil means that this is not tested.
	Gone func(t *testing.T) geminihook.Store

	// Writes returns how to write inside a transaction of the store that New
	// has just returned, and how to count what was committed. It is called
	// after New and may create a table. It is required if the store is a
	// geminihook.Transactor, and not used otherwise.
	Writes func(t *testing.T, first geminihook.Store) Writes
}

// Writes lets the suite see which of the function's writes a
// geminihook.Transactor has committed. Both functions are required. Both get
// names of 16 lowercase hexadecimal digits.
type Writes struct {
	// Write adds one row with the name to the store's own database, inside the
	// transaction that ctx carries. Adding the same name again adds another
	// row. ctx is the context that Transact passed to its function.
	Write func(ctx context.Context, name string) error

	// Count returns the number of committed rows with the name. It is called
	// outside any transaction.
	Count func(ctx context.Context, name string) (int, error)
}

// Run tests the stores that newStore returns, which must have no keys yet. It is
// [Suite.Run] with only New set.
func Run(t *testing.T, newStore func(t *testing.T) geminihook.Store) {
	t.Helper()
	Suite{New: newStore}.Run(t)
}

// Run runs one subtest per behavior. The names of the subtests of a
// geminihook.Renewer begin with "renew", those of a geminihook.Transactor with
// "transact".
func (s Suite) Run(t *testing.T) {
	t.Helper()
	if s.New == nil {
		t.Fatal("storetest: Suite.New is nil")
	}
	first := s.New(t)
	_, renewer := first.(geminihook.Renewer)
	_, transactor := first.(geminihook.Transactor)
	if transactor && s.Writes == nil {
		t.Error("storetest: the store is a Transactor, and Suite.Writes is nil: whether what the function writes " +
			"commits and rolls back together with the mark is what a Transactor is for, so the suite must see it")
		transactor = false
	}
	for _, b := range behaviors(renewer, transactor) {
		if b.gone && s.Gone == nil {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Log("The contract: " + b.contract)
				}
			}()
			b.test(s.harness(t, b))
		})
	}
}

// behaviors returns those of a store that is also one of these.
func behaviors(renewer, transactor bool) []behavior {
	all := slices.Concat(claimBehaviors, holdBehaviors, timeBehaviors, keyBehaviors, raceBehaviors, goneBehaviors)
	if renewer {
		all = slices.Concat(all, renewBehaviors)
	}
	if transactor {
		all = slices.Concat(all, transactBehaviors, rollbackBehaviors)
	}
	return all
}

// behavior is one subtest.
type behavior struct {
	name     string
	contract string // what the contract says and why it matters; logged if the subtest fails
	gone     bool   // the test is about the store that Suite.Gone returns
	test     func(h *harness)
}

package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
)

// TransactorSuite describes how to test a Transactor. New, Second and Writes are
// required:
//
//	storetest.TransactorSuite{
//		New:    func(t *testing.T) geminihook.Transactor { … },
//		Second: func(t *testing.T, first geminihook.Transactor) geminihook.Transactor { … },
//		Writes: func(t *testing.T, first geminihook.Transactor) storetest.Writes {
//			return storetest.Writes{Write: insertName, Count: countNames, Endings: endings}
//		},
//	}.Run(t)
//
// If what New returns is also a geminihook.Store, instances may use the same keys
// through leases and through transactions side by side, and the suite tests that,
// too. It does not test the Store by itself: call [Suite.Run] for that.
type TransactorSuite struct {
	// New returns a transactor that has no keys yet. It is called at least once per
	// subtest.
	New func(t *testing.T) geminihook.Transactor

	// Second returns another handle to the keys of the transactor that New has
	// just returned, as another process would have it: with its own
	// connections, and nothing in common with the first but the backend.
	Second func(t *testing.T, first geminihook.Transactor) geminihook.Transactor

	// Writes returns how to write inside a transaction of the transactor that
	// New has just returned, and how to count what was committed. It is called
	// after New and may create a table.
	Writes func(t *testing.T, first geminihook.Transactor) Writes

	// Waits means that a call may have to wait for a transaction of another
	// handle, until that ends or the call's own context does, because the
	// engine has only one writer at a time (as SQLite) or locks what it has
	// read. Such a call must still not run, and the transactions of one handle
	// must not wait for each other's keys.
	Waits bool

	// Advance moves the transactor's clock forward. Nil means that it uses real
	// time, and the suite waits.
	Advance func(t *testing.T, d time.Duration)

	// Gone returns a transactor whose backend cannot be reached. A backend that
	// accepts connections and never responds is a better test than one that
	// refuses them. Nil means that this is not tested.
	Gone func(t *testing.T) geminihook.Transactor
}

// Writes lets a [TransactorSuite] write inside a transaction and see what was
// committed. Write and Count get names of 16 lowercase hexadecimal digits.
type Writes struct {
	// Write adds one row with the name to the transactor's own database, inside
	// the transaction that ctx carries. Adding the same name again adds another
	// row. ctx is the context that Transact passed to its function.
	Write func(ctx context.Context, name string) error

	// Count returns the number of committed rows with the name. It is called
	// outside any transaction.
	Count func(ctx context.Context, name string) (int, error)

	// Endings are the ways in which a function could end or restart the
	// transaction that ctx carries, by their names: for a database with SQL,
	// COMMIT, ROLLBACK, either with AND CHAIN or followed by BEGIN, and whatever
	// else commits. An error means that the database refused, which is fine. Nil
	// means that there are none.
	Endings map[string]func(ctx context.Context) error
}

// Run runs one subtest per behavior.
func (s TransactorSuite) Run(t *testing.T) {
	t.Helper()
	switch {
	case s.New == nil:
		t.Fatal("storetest: TransactorSuite.New is nil")
	case s.Second == nil:
		t.Fatal("storetest: TransactorSuite.Second is nil: several instances share a transactor, so the suite needs a second handle")
	case s.Writes == nil:
		t.Fatal("storetest: TransactorSuite.Writes is nil: whether what the function writes commits and rolls back together with " +
			"the mark is what a Transactor is for, so the suite must see it")
	}
	runAll(t, transactorBehaviors(), s.has(t), func(t *testing.T, needs need) *harness {
		h := newHarness(t, s.Advance)
		h.waits = s.Waits
		if needs == needsGone {
			h.firstTransactor = s.Gone(t)
			return h
		}
		h.firstTransactor = s.New(t)
		h.secondTransactor = s.Second(t, h.firstTransactor)
		h.refuseSame(h.firstTransactor, h.secondTransactor)
		h.writes = s.Writes(t, h.firstTransactor)
		if h.writes.Write == nil || h.writes.Count == nil {
			t.Fatal("storetest: Writes needs both Write and Count")
		}
		if needs == needsStore {
			h.first = h.firstTransactor.(geminihook.Store)
			second, ok := h.secondTransactor.(geminihook.Store)
			if !ok {
				t.Fatalf("storetest: TransactorSuite.Second returned a %T, which is not a Store, although the first handle is",
					h.secondTransactor)
			}
			h.second = second
		}
		return h
	})
}

func (s TransactorSuite) has(t *testing.T) map[need]bool {
	t.Helper()
	first := s.New(t)
	_, isStore := first.(geminihook.Store)
	return map[need]bool{
		needsNothing: true,
		needsGone:    s.Gone != nil,
		needsStore:   isStore,
		needsEndings: s.Writes(t, first).Endings != nil,
	}
}

func transactorBehaviors() []behavior {
	return slices.Concat(transactBehaviors, rollbackBehaviors, endingBehaviors, sideBySideBehaviors)
}

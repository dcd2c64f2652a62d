package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/assert"
)

// storeSuite tests reference stores with the fault, or with none.
func storeSuite(fault string) storetest.Suite { return storeSuiteAt(fault, time.Now) }

// storeSuiteAt is storeSuite with another clock.
func storeSuiteAt(fault string, now func() time.Time) storetest.Suite {
	return storetest.Suite{
		New: func(*testing.T) geminihook.Store { return newReference(fault, now) },
		Second: func(_ *testing.T, first geminihook.Store) geminihook.Store {
			return first.(*reference).second()
		},
		Gone: func(*testing.T) geminihook.Store { return newGoneReference(fault) },
		Bounded: func(_ *testing.T, keys int) geminihook.Store {
			r := newReference(fault, now)
			r.bound = keys
			return r
		},
	}
}

// transactorSuite tests reference transactors with the fault, or with none.
func transactorSuite(fault string) storetest.TransactorSuite {
	return transactorSuiteAt(fault, time.Now)
}

// transactorSuiteAt is transactorSuite with another clock.
func transactorSuiteAt(fault string, now func() time.Time) storetest.TransactorSuite {
	return storetest.TransactorSuite{
		New: func(*testing.T) geminihook.Transactor { return newReference(fault, now) },
		Second: func(_ *testing.T, first geminihook.Transactor) geminihook.Transactor {
			return first.(*reference).second()
		},
		Gone: func(*testing.T) geminihook.Transactor { return newGoneReference(fault) },
		Writes: func(_ *testing.T, first geminihook.Transactor) storetest.Writes {
			r := first.(*reference)
			return storetest.Writes{Write: r.write, Count: r.count, Endings: r.endings()}
		},
	}
}

// The environment variable by which TestFaults tells a process its fault.
const faultVariable = "STORETEST_FAULT"

// TestStoreFault runs the suite on a faulty store, in a separate process.
func TestStoreFault(t *testing.T) {
	if fault, ok := os.LookupEnv(faultVariable); ok { // otherwise, it is for TestFaults
		storeSuite(fault).Run(t)
	}
}

// TestSlowStoreFault is TestStoreFault with a clock that the suite moves.
func TestSlowStoreFault(t *testing.T) {
	if fault, ok := os.LookupEnv(faultVariable); ok {
		clock := &clock{now: time.Now()}
		suite := storeSuiteAt(fault, clock.Now)
		suite.Advance = func(_ *testing.T, d time.Duration) { clock.Advance(d) }
		suite.Run(t)
	}
}

// TestTransactorFault runs the suite on a faulty transactor, in a separate process.
func TestTransactorFault(t *testing.T) {
	if fault, ok := os.LookupEnv(faultVariable); ok { // otherwise, it is for TestFaults
		transactorSuite(fault).Run(t)
	}
}

// TestSlowTransactorFault is TestTransactorFault with a clock that the suite moves.
func TestSlowTransactorFault(t *testing.T) {
	if fault, ok := os.LookupEnv(faultVariable); ok {
		clock := &clock{now: time.Now()}
		suite := transactorSuiteAt(fault, clock.Now)
		suite.Advance = func(_ *testing.T, d time.Duration) { clock.Advance(d) }
		suite.Run(t)
	}
}

// TestFaults checks that every fault fails the subtest that is meant for it,
// with a reason and without a panic.
func TestFaults(t *testing.T) {
	t.Parallel()
	slots := make(chan struct{}, 8) // most of them only wait
	for _, kind := range []struct {
		name, process string
		faults        []faulty
	}{
		{"Store", "TestStoreFault", storeFaults},
		{"Store", "TestSlowStoreFault", slowStoreFaults},
		{"Transactor", "TestTransactorFault", transactorFaults},
		{"Transactor", "TestSlowTransactorFault", slowTransactorFaults},
	} {
		for _, f := range kind.faults {
			t.Run(kind.name+"/"+f.subtest+"/"+f.fault, func(t *testing.T) {
				t.Parallel()
				wantFailure(t, slots, kind.process, f)
			})
		}
	}
}

// wantFailure runs one subtest on a faulty store, which must fail.
func wantFailure(t *testing.T, slots chan struct{}, test string, f faulty) {
	t.Helper()
	slots <- struct{}{}
	defer func() { <-slots }()
	name := strings.ReplaceAll(f.subtest, " ", "_")
	out := runFailing(t, "^"+test+"$/^"+name+"$", f.fault)
	assert.Contains(t, out, "--- FAIL: "+test+"/"+name)
	assert.Contains(t, out, "Why it matters: ")
	assert.NotContains(t, out, "panic:")
}

// runFailing runs tests in a separate process, where they must fail, and returns
// what they print.
func runFailing(t *testing.T, tests, fault string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run", tests)
	cmd.Env = append(os.Environ(), faultVariable+"="+fault,
		"GORACE=atexit_sleep_ms=0") // by default, the race detector sleeps for a second
	out, err := cmd.CombinedOutput()
	assert.Error(t, err, "the tests must fail:\n%s", out)
	return string(out)
}

// TestEverySubtestCanFail checks that each subtest has a fault that it finds.
func TestEverySubtestCanFail(t *testing.T) {
	const unknown = "a fault is for a subtest that does not exist"
	found := subtests(storeFaults, slowStoreFaults)
	assert.Subset(t, found, storetest.StoreSubtests())
	assert.Subset(t, storetest.StoreSubtests(), found, unknown)
	found = subtests(transactorFaults, slowTransactorFaults)
	assert.Subset(t, found, storetest.TransactorSubtests())
	assert.Subset(t, storetest.TransactorSubtests(), found, unknown)
}

func subtests(lists ...[]faulty) (names []string) {
	for _, f := range slices.Concat(lists...) {
		names = append(names, f.subtest)
	}
	return names
}

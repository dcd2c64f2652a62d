package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/assert"
)

// faults are ways in which a store can be subtly wrong, and the subtest that
// is meant to notice.
var faults = []struct{ fault, subtest string }{
	{"attempts count from zero", "claim of a new key"},
	{"RetryIn is missing", "claim while in progress"},
	{"RetryIn is the whole lease", "retry in"},
	{"RetryIn is the caller's lease", "retry in"},
	{"keys are cut at 16 bytes", "keys are apart"},
	{"Done is reported as InProgress", "done is never claimed"},
	{"Complete keeps for a year at most", "keep of a century"},
	{"handles share nothing", "two handles"},
	{"Claim ignores the context", "canceled context"},
	{"Complete ignores the context", "canceled context"},
	{"Release ignores the context", "canceled context"},

	{"Complete ignores a stale token", "stale token"},
	{"Release ignores a stale token", "stale token"},
	{"Complete accepts any token once a taken-over lease has lapsed", "token after a second lapse"},
	{"Release accepts any token once a taken-over lease has lapsed", "token after a second lapse"},
	{"Complete accepts an empty token", "wrong token"},
	{"Release accepts an empty token", "wrong token"},
	{"late Complete is refused", "late complete"},
	{"late Release is refused", "late release"},
	{"late Release forgets the count", "late release"},
	{"a repeated Complete is refused", "complete twice"},
	{"Release forgets the count", "release"},
	{"Release after Complete succeeds", "release after complete"},
	{"Release after Complete frees the key", "release after complete"},

	{"leases end at half time", "takeover after the lease, not before"},
	{"leases are rounded down to seconds", "sub-second lease"},
	{"leases are rounded up to seconds", "sub-second lease"},
	{"Complete keeps for the lease of the claim", "done outlives the lease"},
	{"Complete keeps for half the keep", "done ends after keep"},
	{"keep is counted from the claim", "keep counts from complete"},
	{"a repeated Complete moves the expiry", "repeated complete keeps the expiry"},
	{"a repeated Complete extends the expiry", "repeated complete keeps the expiry"},
	{"leases end with keep", "lease longer than keep"},
	{"claims expire at keep although the lease is longer", "lease longer than keep"},
	{"takeovers expire at keep although the lease is longer", "lease longer than keep"},
	{"takeovers do not extend the expiry", "each claim extends the expiry"},
	{"claims after Release do not extend the expiry", "each claim extends the expiry"},
	{"claims are forgotten with their lease", "a lapsed key is remembered"},
	{"claims are forgotten a second after their lease", "a lapsed key is remembered"},
	{"Release is forgotten after a second", "a lapsed key is remembered"},

	{"keys are lowercased", "hostile keys"},
	{"keys are cut at 256 bytes", "long keys"},
	{"keys end at a NUL", "nul in a key"},

	{"Claim is check-then-set", "one winner"},
	{"every tenth second claim wins", "one winner"},
	{"Complete is check-then-set", "complete against a takeover"},
	{"Complete is check-then-set", "complete against release"},
	{"Release is check-then-set", "release against a takeover"},
	{"Release is check-then-set", "complete against release"},

	{"a gone backend is taken for an empty one", "gone"},
	{"Complete of a gone backend is a lost lease", "gone"},
	{"Release of a gone backend is a lost lease", "gone"},
	{"Claim of a gone backend ignores the context for 9 s", "gone"},
	{"Complete of a gone backend ignores the context for 9 s", "gone"},
	{"Release of a gone backend ignores the context for 9 s", "gone"},
	{"Renew of a gone backend ignores the context for 9 s", "gone"},

	{"Renew does nothing", "renew extends the lease"},
	{"Renew counts an attempt", "renew extends the lease"},
	{"Renew adds to the lease", "renew counts from now"},
	{"Renew leaves the expiry", "renew keeps the entry"},
	{"Renew keeps the entry for the lease only", "renew does not shorten keep"},
	{"late Renew is refused", "late renew"},
	{"Renew ignores a stale token", "renew with a stale token"},
	{"Renew accepts an empty token", "renew with a stale token"},
	{"Renew of a completed key succeeds", "renew with a stale token"},
	{"Renew is check-then-set", "renew against a takeover"},
	{"Renew ignores the context", "renew with a canceled context"},

	{"Transact makes no mark", "transact commits"},
	{"Transact drops the context's values", "transact passes context values"},
	{"Transact drops the context's end", "transact passes context values"},
	{"Transact is check-then-set", "transact runs once under races"},
	{"Transact ignores transactions", "transact runs once under races"},
	{"Transact waits for another", "transact does not wait for another"},
	{"Transact keeps for half the keep", "transact done ends after keep"},
	{"Transact ignores claims", "transact respects claims"},
	{"Transact runs what is done", "transact respects claims"},
	{"Claim takes the key of a running transaction", "transact is respected by claims"},
	{"keys are lowercased", "transact hostile keys"},
	{"Transact ignores the context", "transact canceled context"},
	{"a gone backend is taken for an empty one", "transact gone"},
	{"Transact of a gone backend ignores the context for 9 s", "transact gone"},
	{"an error of Transact does not wrap ErrStore", "transact gone"},

	{"Transact commits on error", "transact rolls back on error"},
	{"Transact rolls back no writes", "transact rolls back on error"},
	{"Transact takes the function's error for its own", "transact rolls back on error"},
	{"Transact commits on panic", "transact rolls back on panic"},
	{"Transact rolls back no writes", "transact rolls back on panic"},
	{"Transact swallows the panic", "transact rolls back on panic"},
	{"Transact commits on Goexit", "transact rolls back on Goexit"},
	{"Transact runs the function again on an error", "transact runs the function once"},
	{"Transact rolls back a permanent mark", "transact permanent"},
	{"Transact commits the writes of a permanent error", "transact permanent"},
	{"Transact looks at the outermost error only", "transact permanent inside another error"},
	{"Transact commits the mark alone after the end of the context", "transact canceled while it runs"},
	{"Transact commits on error", "transact canceled while it runs"},
}

// suite tests reference stores with the fault, or with none.
func suite(fault string) storetest.Suite {
	return storetest.Suite{
		New: func(*testing.T) geminihook.Store { return newReference(fault, time.Now) },
		Second: func(_ *testing.T, first geminihook.Store) geminihook.Store {
			if fault == "handles share nothing" {
				return newReference(fault, time.Now)
			}
			return &reference{backend: first.(*reference).backend, fault: fault}
		},
		Gone: func(*testing.T) geminihook.Store {
			r := newReference(fault, time.Now)
			r.gone = true
			return r
		},
		Writes: func(_ *testing.T, first geminihook.Store) storetest.Writes {
			r := first.(*reference)
			return storetest.Writes{Write: r.write, Count: r.count}
		},
	}
}

const (
	faultVariable = "STORETEST_FAULT"
	withoutWrites = "Suite.Writes is nil"
)

// TestFault runs the suite on a faulty store, in a separate process.
func TestFault(t *testing.T) {
	fault, ok := os.LookupEnv(faultVariable)
	if !ok {
		return // it is for TestFaults
	}
	s := suite(fault)
	if fault == withoutWrites {
		s.Writes = nil
	}
	s.Run(t)
}

// TestFaults checks that every fault fails the subtest that is meant for it,
// with the contract and without a panic.
func TestFaults(t *testing.T) {
	t.Parallel()
	type outcome struct {
		out    string
		failed bool
	}
	outcomes := make([]chan outcome, len(faults))
	slots := make(chan struct{}, 8) // most of them only wait
	for i, f := range faults {
		outcomes[i] = make(chan outcome, 1)
		go func() {
			slots <- struct{}{}
			out, failed := runFault(t.Context(), f.fault, f.subtest)
			outcomes[i] <- outcome{out, failed}
			<-slots
		}()
	}
	for i, f := range faults {
		t.Run(f.subtest+"/"+f.fault, func(t *testing.T) {
			got := <-outcomes[i]
			assert.True(t, got.failed, "the suite must fail:\n%s", got.out)
			assert.Contains(t, got.out, "--- FAIL: TestFault/"+strings.ReplaceAll(f.subtest, " ", "_"))
			assert.Contains(t, got.out, "The contract: ")
			assert.NotContains(t, got.out, "panic:")
		})
	}
}

// runFault runs one subtest on a faulty store.
func runFault(ctx context.Context, fault, subtest string) (out string, failed bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run", "^TestFault$/^"+strings.ReplaceAll(subtest, " ", "_")+"$")
	cmd.Env = append(os.Environ(), faultVariable+"="+fault)
	b, err := cmd.CombinedOutput()
	return string(b), err != nil
}

// TestEverySubtestCanFail checks that each subtest has a fault that it finds.
func TestEverySubtestCanFail(t *testing.T) {
	var found []string
	for _, f := range faults {
		found = append(found, f.subtest)
	}
	assert.Subset(t, found, storetest.Subtests())
	assert.Subset(t, storetest.Subtests(), found, "a fault is for a subtest that does not exist")
}

// TestWritesRequired checks that a Transactor is not tested by half.
func TestWritesRequired(t *testing.T) {
	out, failed := runFault(t.Context(), withoutWrites, "claim of a new key")
	assert.True(t, failed, "the suite must fail:\n%s", out)
	assert.Contains(t, out, "the store is a Transactor, and Suite.Writes is nil")
}

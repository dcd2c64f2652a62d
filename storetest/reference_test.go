package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

type (
	ctx   = context.Context
	State = geminihook.State
	Claim = geminihook.Claim
)

const released State = 0 // of an entry that nobody holds

// backend is what several handles share: a database in memory.
type backend struct {
	mu      sync.Mutex
	entries map[string]*entry
	rows    map[string]int // what transactions have committed, by name
	now     func() time.Time
	bound   int      // 0 means none
	ended   []string // keys in the order in which they were completed or released
}

type entry struct {
	key            string
	state          State
	running        bool       // a transaction
	owner          *reference // of the transaction
	token          string     // of the claim that has the key or has completed it
	attempt        int
	lease, expires time.Time
	claimed        time.Time // and span and earlier, the token before: for faults
	span           time.Duration
	earlier        string
}

// reference is a store with everything that a store can be. A fault, which is
// one of those in the table, makes it subtly wrong.
type reference struct {
	*backend
	fault string
	gone  bool
	waits bool // for the transactions of other handles, like an engine with one writer
}

func newReference(fault string, now func() time.Time) *reference {
	b := &backend{entries: map[string]*entry{}, rows: map[string]int{}, now: now}
	return &reference{backend: b, fault: fault}
}

func newGoneReference(fault string) *reference {
	r := newReference(fault, time.Now)
	r.gone = true
	return r
}

// second returns another handle to the same backend.
func (r *reference) second() *reference {
	if r.has("handles share nothing") {
		return newReference(r.fault, r.now)
	}
	return &reference{backend: r.backend, fault: r.fault, waits: r.waits}
}

// has says whether the fault is one of those.
func (r *reference) has(faults ...string) bool {
	for _, f := range faults {
		if r.fault == f {
			return true
		}
	}
	return false
}

// begin locks the backend, unless it cannot be reached or the context has ended.
func (r *reference) begin(ctx ctx, call string) error {
	if r.gone && r.has(call+" of a gone backend ignores the context for 9 s") {
		<-time.After(9 * time.Second)
	}
	fault := r.has("a gone backend is taken for an empty one",
		call+" of a gone backend is a lost lease")
	if r.gone && !fault {
		return errors.New("connection refused")
	}
	for {
		if err := ctx.Err(); err != nil && !r.has(call+" ignores the context") {
			return err
		}
		r.mu.Lock()
		if !r.waits || !r.othersRun() {
			return nil
		}
		r.mu.Unlock()
		<-time.After(time.Millisecond)
	}
}

// othersRun reports whether a transaction of another handle runs.
func (r *reference) othersRun() bool {
	for _, e := range r.entries {
		if e.running && e.owner != r {
			return true
		}
	}
	return false
}

// gap lets others come between check and set.
func (r *reference) gap(call string) {
	if r.has(call + " is check-then-set") {
		r.mu.Unlock()
		<-time.After(50 * time.Microsecond) // as long as a fast round trip
		r.mu.Lock()
	}
}

// find returns the entry of the key, which is new if it is unknown or forgotten.
func (r *reference) find(key string) (*entry, time.Time) {
	switch r.fault {
	case "keys are cut at 16 bytes":
		key = key[:min(len(key), 16)]
	case "keys are cut at 256 bytes":
		key = key[:min(len(key), 256)]
	case "keys are lowercased":
		key = strings.ToLower(key)
	case "keys end at a NUL":
		key, _, _ = strings.Cut(key, "\x00")
	}
	now := r.now()
	e := r.entries[key]
	if e == nil || !e.running && !now.Before(e.expires) {
		e = &entry{key: key, expires: now}
		r.entries[key] = e
	}
	return e, now
}

// busy returns what a claim of the entry is, unless it is free.
func (r *reference) busy(e *entry, now time.Time, lease time.Duration) (c Claim) {
	unknown := e.owner != r && r.has("a transaction is known to its own handle only")
	switch {
	case e.running && unknown:
	case e.running:
		return Claim{State: geminihook.InProgress, RetryIn: time.Second}
	case e.state == geminihook.Done:
		return Claim{State: geminihook.Done}
	case e.state == geminihook.InProgress && now.Before(e.lease):
		c = Claim{State: geminihook.InProgress, RetryIn: e.lease.Sub(now)}
	}
	switch {
	case c.State == 0:
	case r.has("RetryIn is missing"):
		c.RetryIn = 0
	case r.has("RetryIn is the whole lease"):
		c.RetryIn = e.span
	case r.has("RetryIn is the caller's lease"):
		c.RetryIn = lease
	}
	return c
}

func (r *reference) Claim(ctx ctx, key, token string, lease, keep time.Duration) (Claim, error) {
	token = r.readToken(token)
	if err := r.begin(ctx, "Claim"); err != nil {
		return Claim{}, err
	}
	defer r.mu.Unlock()
	if err := r.makeRoom(key); err != nil {
		return Claim{}, err
	}
	if r.has("a token has one key") {
		r.releaseOthers(key, token)
	}
	e, now := r.find(key)
	if r.repeats(e, token, now) {
		return r.repeat(e, now, lease, keep), nil
	}
	c := r.busy(e, now, lease)
	switch {
	case r.has("every tenth second claim wins") && c.State == geminihook.InProgress &&
		len(r.entries)%10 == 0:
		return Claim{State: geminihook.Acquired}, nil
	case e.running && r.has("Claim takes the key of a running transaction"):
		return Claim{State: geminihook.Acquired}, nil
	case c.State == geminihook.Done && r.has("Done is reported as InProgress"):
		c.State = geminihook.InProgress
	}
	if c.State != 0 {
		return c, nil
	}
	r.gap("Claim")
	lease, expires := r.terms(e, now, lease, keep)
	*e = entry{
		key: e.key, state: geminihook.InProgress, token: token, attempt: e.attempt + 1,
		lease: now.Add(lease), expires: expires, claimed: now, span: lease, earlier: e.token,
	}
	c = Claim{State: geminihook.Acquired, Attempt: e.attempt}
	if r.has("attempts count from zero") {
		c.Attempt--
	}
	return c, nil
}

// terms returns the lease and when the entry expires.
func (r *reference) terms(
	e *entry, now time.Time, lease, keep time.Duration,
) (time.Duration, time.Time) {
	switch r.fault {
	case "leases end at half time":
		lease /= 2
	case "leases are rounded down to seconds":
		lease = lease.Truncate(time.Second)
	case "leases are rounded up to seconds":
		lease = (lease + time.Second - 1).Truncate(time.Second)
	case "leases end with keep":
		lease = min(lease, keep)
	}
	expires := now.Add(max(lease, keep))
	again := e.attempt > 0
	switch {
	case r.has("claims are forgotten with their lease"):
		expires = now.Add(lease)
	case r.has("claims are forgotten a second after their lease"):
		expires = now.Add(lease + time.Second)
	case r.has("claims expire at keep although the lease is longer"),
		again && r.has("takeovers expire at keep although the lease is longer"):
		expires = now.Add(keep)
	case again && r.has("takeovers do not extend the expiry"),
		again && e.state == released && r.has("claims after Release do not extend the expiry"):
		expires = e.expires
	}
	return lease, expires
}

func storeFailed(err error) error { return fmt.Errorf("%w: %w", geminihook.ErrStore, err) }

package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// once calls fn unless the event was handled before or another run is in
// progress.
func (e *Endpoint) once(
	ctx context.Context, ev *Event, fn func(context.Context, *Event) error,
) Outcome {
	key, err := e.storeKey(ctx, ev)
	if err != nil {
		return outcome(Unavailable, err)
	}
	deadline, _ := ctx.Deadline()
	c := &claimedRun{run: run{
		event: ev, fn: fn, key: key, deadline: deadline, logger: e.Logger,
		runTimeout:   cmp.Or(e.RunTimeout, time.Minute),
		storeTimeout: cmp.Or(e.StoreTimeout, 3*time.Second),
		keep:         cmp.Or(e.Keep, 7*24*time.Hour),
	}}
	// From here on, a sender that hangs up changes nothing: its next attempt
	// finds out how this one ended.
	ctx = context.WithValue(context.WithoutCancel(ctx), contextKey{}, ev)
	if e.Transactor != nil {
		return c.transact(ctx, e.Transactor)
	}
	c.store, c.token, c.lease = e.Store, newToken(), cmp.Or(e.Lease, 30*time.Second)
	if e.Store == nil {
		c.store, c.inMemory = &e.memory, true
	}
	return c.claim(ctx)
}

// claimedRun is a run under a claim in the store.
type claimedRun struct {
	run
	store    Store
	inMemory bool   // the store is the endpoint's MemoryStore, which ends with the process
	token    string // proves that the claim is this run's
	lease    time.Duration
}

// newToken returns 64 random bits as text. A token is no secret: it only has to differ
// from the other tokens of its key.
func newToken() string { return strconv.FormatUint(rand.Uint64(), 36) }

// limited returns a context for one call to the store. A call to a MemoryStore takes
// less time than a timer would.
func (c *claimedRun) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.inMemory {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.storeTimeout)
}

// claim claims the key and, if it is acquired, runs the function.
func (c *claimedRun) claim(ctx context.Context) Outcome {
	hold := c.lease
	if c.inMemory { // the claim is not renewed, so it must hold for the whole run
		hold = max(c.runTimeout+grace, c.runTimeout) // the latter if the sum overflows
	}
	began := time.Now()
	limited, cancel := c.limited(ctx)
	claim, err := c.store.Claim(limited, c.key, c.token, hold, c.keep)
	cancel()
	if err == nil && claim.State == Acquired && time.Since(began) >= hold {
		err = errors.New("the claim took longer than its lease: the store is slow, or Lease is too short")
	}
	switch {
	case err != nil:
		if !c.inMemory {
			// The store may have made the claim: see docs/decisions/leases.md.
			go c.release(ctx)
		}
		return unavailable(err)
	case claim.State == Done:
		return outcome(Duplicate, nil)
	case claim.State == InProgress:
		busy := outcome(Busy, ErrInProgress)
		if claim.RetryIn > 0 {
			busy.RetryAfter = min(claim.RetryIn, c.lease)
		}
		return busy
	case claim.State != Acquired:
		return unavailable(fmt.Errorf("%w: Claim returned the invalid state %v",
			ErrStore, claim.State))
	}
	c.event.Attempt = claim.Attempt
	return c.settle(ctx, began)
}

// settle runs the function and then completes or releases the claim, which began at
// the given time.
func (c *claimedRun) settle(ctx context.Context, began time.Time) Outcome {
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit, which continues
			_ = c.release(ctx)
		}
	}()
	err := c.callRenewing(ctx, began)
	returned = true
	if err != nil && !errors.Is(err, ErrPermanent) {
		if storeErr := c.release(ctx); storeErr != nil {
			err = fmt.Errorf("%w (and the claim was not released: %w)", err, storeErr)
		}
		return outcome(Failed, err)
	}
	storeErr := c.complete(ctx)
	if err == nil {
		return outcome(Processed, storeErr)
	}
	if storeErr != nil {
		err = fmt.Errorf("%w (and %w)", err, storeErr)
	}
	return outcome(Dropped, err)
}

// callRenewing calls the function and renews the lease meanwhile. A claim in the
// endpoint's MemoryStore holds for the whole run.
func (c *claimedRun) callRenewing(ctx context.Context, began time.Time) error {
	if c.inMemory {
		return c.callWatched(ctx)
	}
	now := time.Now()
	end := c.ends(now)
	held, lose := context.WithCancelCause(ctx) // lose ends held if the lease is lost
	defer lose(nil)
	first := earlier(began.Add(c.lease/3), end) // most functions return before that
	watch := func() { c.watch(held, lose, began, end) }
	timer := time.AfterFunc(first.Sub(now), watch)
	defer timer.Stop()
	return c.call(held, end)
}

// watch looks after a function that takes long, and whose context ends at the given
// time. It renews the lease until the function returns, or until it hangs: a later
// attempt may then take the key.
func (c *claimedRun) watch(
	held context.Context, lose context.CancelCauseFunc, claimed, end time.Time,
) {
	c.renew(held, lose, claimed, end.Add(grace))
	if c.returned.Load() {
		return
	}
	ended := earlier(time.Now(), end) // earlier than end if the lease was lost
	time.AfterFunc(time.Until(ended.Add(grace)), func() { c.hangs(held) })
}

// renew renews the lease whenever a third of it has passed. It returns when held ends
// or at the given time. As soon as the lease is not known to be held, it calls lose.
// Whether a call succeeded is known only afterward, so the lease counts from the start
// of the last call that did, which at first is the claim.
func (c *claimedRun) renew(
	held context.Context, lose context.CancelCauseFunc, claimed, until time.Time,
) {
	expires, next := claimed.Add(c.lease), claimed.Add(c.lease/3)
	expiry := time.AfterFunc(time.Until(expires), func() { lose(errExpired) })
	defer expiry.Stop()
	failing := false
	for sleepUntil(held, earlier(next, until)) && next.Before(until) {
		began := time.Now()
		ctx, cancel := context.WithDeadline(held, earlier(expires, until))
		err := c.store.Renew(ctx, c.key, c.token, c.lease)
		cancel()
		switch {
		case held.Err() != nil:
			return
		case errors.Is(err, ErrLeaseLost):
			lose(fmt.Errorf(
				"another claim has taken the key, or the store has forgotten this one: %w", err))
			return
		case err != nil:
			if !failing {
				c.warn(held,
					"gemini webhook: the lease was not renewed, trying again until it expires",
					err)
			}
			failing = true
			next = time.Now().Add(max(c.lease/30, time.Millisecond))
		default:
			failing = false
			expires = began.Add(c.lease)
			expiry.Reset(time.Until(expires))
			next = began.Add(max(c.lease/3, time.Millisecond))
		}
	}
}

// sleepUntil waits for the given time and returns true, or false if ctx ends first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(t)):
		return true
	}
}

var errExpired = fmt.Errorf("%w: the lease could not be renewed before it expired", ErrLeaseLost)

// complete marks the event as done. If the store fails, it tries again after a pause
// of 0.1 seconds and after another of 0.4: the function has run, and without the mark
// the next attempt would run it once more. An error wraps ErrLeaseLost or ErrStore.
func (c *claimedRun) complete(ctx context.Context) error {
	var err error
	for _, pause := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond} {
		time.Sleep(pause)
		limited, cancel := c.limited(ctx)
		err = c.store.Complete(limited, c.key, c.token, c.keep)
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrLeaseLost) {
			return fmt.Errorf("%w: another claim took the key after the lease had expired, or the store forgot this claim "+
				"(a restart, an eviction): the function may have run twice", err)
		}
	}
	return fmt.Errorf("%w: the function has run, but the event could not be marked as done, so another attempt would run it again: %w",
		ErrStore, err)
}

// release ends the lease. An error wraps ErrLeaseLost or ErrStore.
func (c *claimedRun) release(ctx context.Context) error {
	limited, cancel := c.limited(ctx)
	defer cancel()
	err := c.store.Release(limited, c.key, c.token)
	if err == nil || errors.Is(err, ErrLeaseLost) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

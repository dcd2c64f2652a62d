package geminihook

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// once calls fn unless the event was handled before or another run is in
// progress.
func (e *Endpoint) once(ctx context.Context, ev *Event, fn func(context.Context, *Event) error) Outcome {
	key, err := e.storeKey(ctx, ev)
	if err != nil {
		return outcome(Unavailable, err)
	}
	deadline, _ := ctx.Deadline()
	r := &run{
		event: ev, fn: fn, key: key, deadline: deadline, logger: e.Logger,
		runTimeout:   cmp.Or(e.RunTimeout, time.Minute),
		storeTimeout: cmp.Or(e.StoreTimeout, 3*time.Second),
		keep:         cmp.Or(e.Keep, 7*24*time.Hour),
	}
	// From here on, a sender that hangs up changes nothing: its next attempt
	// finds out how this one ended.
	ctx = context.WithValue(context.WithoutCancel(ctx), contextKey{}, ev)
	if e.Transactor != nil {
		return r.transact(ctx, e.Transactor)
	}
	c := &claiming{run: r, store: e.Store, token: rand.Text(), lease: cmp.Or(e.Lease, 30*time.Second)}
	if c.store == nil {
		c.store, c.immediate = &e.memory, true
	}
	return c.claim(ctx)
}

// claiming is a run under a claim in the store.
type claiming struct {
	*run
	store     Store
	immediate bool // the store is the endpoint's own memory, which never waits
	token     string
	lease     time.Duration
}

// limited returns a context for one call to the store. A call to the endpoint's
// own memory takes less time than a timer would.
func (c *claiming) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.immediate {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.storeTimeout)
}

// claim claims the key and, if it is acquired, runs the function.
func (c *claiming) claim(ctx context.Context) Outcome {
	limited, cancel := c.limited(ctx)
	began := time.Now()
	claim, err := c.store.Claim(limited, c.key, c.token, c.lease, c.keep)
	cancel()
	if err == nil && claim.State == Acquired && time.Since(began) >= c.lease {
		err = errors.New("the claim took longer than its lease")
	}
	switch {
	case err != nil:
		if !c.immediate {
			go c.release(ctx) // the store may have acquired it: see docs/decisions/leases.md
		}
		return unavailable(err)
	case claim.State == Done:
		return outcome(Duplicate, nil)
	case claim.State == InProgress:
		busy := outcome(Busy, ErrInProgress)
		busy.RetryAfter = cmp.Or(max(claim.RetryIn, 0), busy.RetryAfter)
		return busy
	case claim.State != Acquired:
		return unavailable(fmt.Errorf("%w: Claim returned the invalid state %v", ErrStore, claim.State))
	}
	c.event.Attempt = claim.Attempt
	return c.settle(ctx, began)
}

// settle runs the function and completes or releases the claim, which began at the
// given time.
func (c *claiming) settle(ctx context.Context, began time.Time) Outcome {
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
	switch {
	case err == nil:
		return outcome(Processed, storeErr)
	case storeErr != nil:
		err = fmt.Errorf("%w (and %w)", err, storeErr)
	}
	return outcome(Dropped, err)
}

// callRenewing calls the function and renews the lease meanwhile.
func (c *claiming) callRenewing(ctx context.Context, began time.Time) error {
	held, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	end := c.ends()
	timer := time.AfterFunc(c.lease/3, func() { c.renew(held, lose, began.Add(c.lease), end.Add(grace)) })
	defer timer.Stop()
	return c.call(held, end)
}

// renew renews the lease at every third of it, until held ends because the
// function has returned, or until the function hangs: a later attempt may then
// take the key. It calls lose as soon as the lease is not known to be held. That
// a call succeeded is known only afterwards, so the lease counts from the start of
// the last one that did.
func (c *claiming) renew(held context.Context, lose context.CancelCauseFunc, expires, hangs time.Time) {
	expiry := time.AfterFunc(time.Until(expires), func() { lose(errExpired) })
	defer expiry.Stop()
	failing := false
	for held.Err() == nil && time.Now().Before(hangs) {
		began := time.Now()
		pause := max(c.lease/3, time.Millisecond)
		ctx, cancel := context.WithDeadline(held, expires)
		err := c.store.Renew(ctx, c.key, c.token, c.lease)
		cancel()
		switch {
		case held.Err() != nil:
			return
		case errors.Is(err, ErrLeaseLost):
			lose(fmt.Errorf("another claim has taken the key, or the store has forgotten this one: %w", err))
			return
		case err != nil:
			if !failing {
				c.warn(held, "gemini webhook: the lease was not renewed: trying again until it expires", err)
			}
			failing = true
			pause = max(c.lease/30, time.Millisecond)
		default:
			failing = false
			expires = began.Add(c.lease)
			expiry.Reset(time.Until(expires))
		}
		select {
		case <-held.Done():
		case <-time.After(time.Until(began.Add(pause))):
		}
	}
}

var errExpired = fmt.Errorf("%w: it could not be renewed before it expired", ErrLeaseLost)

// complete marks the event as done. If the store fails, it tries again after 0.1
// and 0.4 seconds: the function has run, and without the mark the next attempt
// would run it once more. It returns nil, an ErrLeaseLost or an ErrStore.
func (c *claiming) complete(ctx context.Context) error {
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

// release returns nil, an ErrLeaseLost or an ErrStore.
func (c *claiming) release(ctx context.Context) error {
	limited, cancel := c.limited(ctx)
	defer cancel()
	err := c.store.Release(limited, c.key, c.token)
	if err == nil || errors.Is(err, ErrLeaseLost) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

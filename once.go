package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// ByJob is an [Endpoint.Key] that gives the end of a job the same key, whoever
// reports it: a static and a dynamic webhook, two webhooks of one project, or a
// program that asks the API itself and calls [Endpoint.Process]. The key is the
// event's type and the last path segment of [Event.JobID], percent-encoded.
//
// ByJob returns the default key for "interaction.requires_action", which can
// happen to a job several times, for [Unknown] data, and for events without a
// job id. An endpoint that receives dynamic webhooks must set [Endpoint.Authorize].
// Otherwise a stranger's event can take the key of one of your jobs.
func ByJob(_ context.Context, ev *Event) string {
	id := ev.JobID()
	id = url.PathEscape(id[strings.LastIndexByte(id, '/')+1:])
	if _, unknown := ev.Data.(*Unknown); unknown || ev.Type == EventInteractionRequiresAction || !validID(id) {
		return defaultKey(ev)
	}
	return string(ev.Type) + ":" + id
}

// defaultKey includes the scheme, so that a dynamic delivery, which anyone can
// cause, never takes the key of a static one, even if their ids are equal. It is
// empty if the event has no ID, because such events must not share a key.
func defaultKey(ev *Event) string {
	if ev.ID == "" {
		return ""
	}
	return ev.Proof.Scheme + ":" + ev.ID
}

// once calls fn unless the event was handled before or another run is in
// progress.
func (e *Endpoint) once(ctx context.Context, ev *Event, fn func(context.Context, *Event) error) Outcome {
	if err := e.check(); err != nil {
		return refused(err)
	}
	r := run{
		store: cmp.Or[Store](e.Store, &e.memory), waits: e.Store != nil, key: defaultKey(ev), event: ev, fn: fn,
		storeTimeout: cmp.Or(e.StoreTimeout, DefaultStoreTimeout), lease: cmp.Or(e.Lease, DefaultLease), keep: cmp.Or(e.Keep, DefaultKeep),
	}
	tx, transacts := r.store.(Transactor)
	r.renewer, _ = r.store.(Renewer)
	r.maxRun = cmp.Or(e.MaxRun, r.lease)
	if r.renewer == nil || r.maxRun <= r.lease { // the claim holds for the whole run
		r.renewer, r.lease = nil, max(r.lease, r.maxRun)
	}
	if e.Key != nil {
		r.key = e.Key(ctx, ev)
	}
	if r.key == "" {
		return unavailable(errors.New("the event has no ID, or Endpoint.Key returned an empty key"))
	}
	r.end = time.Now().Add(r.maxRun - min(r.maxRun/10, 5*time.Second)) // leaves time to complete the event
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(r.end) {
		r.end = deadline
	}
	// From here on, a sender that hangs up changes nothing: its next attempt
	// finds out how this one ended.
	ctx = context.WithValue(context.WithoutCancel(ctx), contextKey{}, ev)
	if transacts {
		return r.transact(ctx, tx)
	}
	return r.claim(ctx)
}

// check returns an error if a field would break the endpoint's promises.
func (e *Endpoint) check() error {
	if e.MaxBody < 0 || min(e.ReadTimeout, e.StoreTimeout, e.Lease, e.MaxRun, e.Keep) < 0 {
		return errors.New("geminihook: Endpoint.MaxBody, ReadTimeout, StoreTimeout, Lease, MaxRun or Keep is negative")
	}
	if e.Keep != 0 && e.Keep < 2*DefaultTolerance {
		return fmt.Errorf("geminihook: Endpoint.Keep is %v, less than %v, twice the tolerance: "+
			"a delivery could be replayed after its event was forgotten", e.Keep, 2*DefaultTolerance)
	}
	return nil
}

// run is one attempt to run the function for an event.
type run struct {
	store                Store
	waits                bool // false for the endpoint's own memory
	key, token           string
	event                *Event
	fn                   func(context.Context, *Event) error
	end                  time.Time // of the function's context
	lease, keep          time.Duration
	maxRun, storeTimeout time.Duration
	renewer              Renewer // nil if the claim holds for the whole run
}

// limit bounds one call to the store. A call to the endpoint's own memory never
// waits, and takes less time than a timer would.
func (r *run) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if !r.waits {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, r.storeTimeout)
}

// call runs the function with a context that ends at r.end.
func (r *run) call(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, r.end)
	defer cancel()
	return r.fn(ctx, r.event)
}

// claim claims the key and, if it is acquired, runs the function.
func (r *run) claim(ctx context.Context) Outcome {
	limited, cancel := r.limit(ctx)
	claim, err := r.store.Claim(limited, r.key, r.lease, r.keep)
	cancel()
	switch {
	case err != nil:
		return unavailable(err)
	case claim.State == Done:
		return outcome(Duplicate, nil)
	case claim.State == InProgress:
		busy := outcome(Busy, ErrInProgress)
		busy.RetryAfter = cmp.Or(max(claim.RetryIn, 0), busy.RetryAfter)
		return busy
	case claim.State != Acquired:
		return unavailable(errors.New("the store returned a claim without a valid state"))
	}
	r.token, r.event.Attempt = claim.Token, claim.Attempt
	return r.settle(ctx)
}

// settle runs the function and completes or releases the claim.
func (r *run) settle(ctx context.Context) Outcome {
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit, which continues
			_ = r.release(ctx)
		}
	}()
	held, stop := r.renew(ctx)
	defer stop(nil)
	err := r.call(held)
	returned = true
	if err != nil && !errors.Is(err, ErrPermanent) {
		if storeErr := r.release(ctx); storeErr != nil {
			err = fmt.Errorf("%w (and the claim was not released: %w)", err, storeErr)
		}
		return outcome(Failed, err)
	}
	storeErr := r.complete(ctx)
	switch {
	case err == nil:
		return outcome(Processed, storeErr)
	case storeErr != nil:
		err = fmt.Errorf("%w (and %w)", err, storeErr)
	}
	return outcome(Dropped, err)
}

// renew renews the lease until the returned function is called. It stops when
// MaxRun has passed, so that a function that hangs does not hold the key forever.
// The returned context ends if another claim has taken the key.
func (r *run) renew(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	if r.renewer == nil {
		return ctx, func(error) {}
	}
	held, stop := context.WithCancelCause(ctx)
	interval := max(r.lease/3, time.Millisecond) // so that one attempt may fail; NewTicker panics on zero
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for range r.maxRun / interval {
			select {
			case <-held.Done():
				return
			case <-ticker.C:
			}
			limited, cancel := context.WithTimeout(held, min(r.storeTimeout, interval))
			if err := r.renewer.Renew(limited, r.key, r.token, r.lease); errors.Is(err, ErrLeaseLost) {
				stop(err)
			}
			cancel()
		}
	}()
	return held, stop
}

// complete marks the event as done. If the store fails, it tries again after 0.1
// and 0.4 seconds: the function has run, and without the mark the next attempt
// would run it once more. It returns nil, an ErrLeaseLost or an ErrStore.
func (r *run) complete(ctx context.Context) error {
	var err error
	for _, pause := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond} {
		time.Sleep(pause)
		limited, cancel := r.limit(ctx)
		err = r.store.Complete(limited, r.key, r.token, r.keep)
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrLeaseLost) {
			return fmt.Errorf("%w: another claim took the key after the lease had expired, or the store forgot this claim (a restart, an eviction): the function may have run twice", err)
		}
	}
	return fmt.Errorf("%w: the function has run, but the event could not be marked as done, so another attempt would run it again: %w", ErrStore, err)
}

// release returns nil, an ErrLeaseLost or an ErrStore.
func (r *run) release(ctx context.Context) error {
	limited, cancel := r.limit(ctx)
	err := r.store.Release(limited, r.key, r.token)
	cancel()
	if err == nil || errors.Is(err, ErrLeaseLost) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

var errStoreSlow = errors.New("the store did not begin the transaction within half of MaxRun, or did not end it within StoreTimeout")

// transact runs the function inside the store's transaction. The store has half
// of MaxRun to begin it, because writers may have to queue, and StoreTimeout to
// end it after the function.
func (r *run) transact(ctx context.Context, tx Transactor) Outcome {
	ctx, cancel := context.WithTimeout(ctx, max(r.maxRun, r.maxRun+r.storeTimeout)) // which may overflow
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	timer := time.AfterFunc(r.maxRun/2, func() { giveUp(errStoreSlow) })
	defer timer.Stop()
	ran := false
	var fnErr error
	state, err := tx.Transact(ctx, r.key, r.keep, func(ctx context.Context) error {
		if !timer.Stop() || ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrStore, cmp.Or(context.Cause(ctx), errStoreSlow))
		}
		defer timer.Reset(r.storeTimeout)
		ran = true
		fnErr = r.call(ctx)
		return fnErr
	})
	if err == nil && ran {
		err = fnErr // in case the store lost it
	} else if context.Cause(ctx) == errStoreSlow {
		err = fmt.Errorf("%w: %w", errStoreSlow, cmp.Or(err, ctx.Err()))
	}
	switch {
	case err == nil && state == Done:
		return outcome(Duplicate, nil)
	case err == nil && state == InProgress:
		return outcome(Busy, ErrInProgress)
	case err == nil && (state != Acquired || !ran):
		return unavailable(errors.New("the store neither ran the function nor returned a valid state"))
	case state != Acquired || errors.Is(err, ErrStore) || !ran:
		return unavailable(err)
	case err == nil:
		return outcome(Processed, nil)
	case errors.Is(err, ErrPermanent):
		return outcome(Dropped, err)
	}
	return outcome(Failed, err)
}

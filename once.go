package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// once lets the event run if nobody has run it, and says what became of it.
func (e *Endpoint) once(ctx context.Context, ev *Event, fn func(context.Context, *Event) error) Outcome {
	// From here on the sender's hanging up changes nothing: its next attempt
	// finds out how this one ended.
	ctx = context.WithValue(context.WithoutCancel(ctx), contextKey{}, ev)
	store := e.Store
	if store == nil {
		store = &e.memory
	}
	key := e.KeyPrefix + ev.ID
	lease, keep := cmp.Or(e.Lease, DefaultLease), cmp.Or(e.Keep, DefaultKeep)
	if tx, ok := store.(Transactor); ok {
		return e.transact(ctx, tx, key, lease, keep, ev, fn)
	}

	start := time.Now()
	claim, err := e.claim(ctx, store, key, lease, keep)
	switch {
	case err != nil:
		return unavailable(err)
	case claim.State == Done:
		return Outcome{Result: Duplicate, Status: http.StatusOK}
	case claim.State == InProgress:
		return inProgress(claim.RetryIn)
	case claim.State != Acquired:
		return unavailable(errors.New("it answered a claim with no valid state"))
	}
	ev.Attempt = claim.Attempt
	run := run{e, store, key, claim.Token, keep}
	return run.do(ctx, start.Add(lease-margin(lease)), ev, fn)
}

func (e *Endpoint) claim(ctx context.Context, store Store, key string, lease, keep time.Duration) (Claim, error) {
	ctx, cancel := e.bounded(ctx, store)
	defer cancel()
	return store.Claim(ctx, key, lease, keep)
}

// bounded is the context of one call of the store.
func (e *Endpoint) bounded(ctx context.Context, store Store) (context.Context, context.CancelFunc) {
	if _, ok := store.(*MemoryStore); ok {
		return ctx, func() {} // it never waits, and a timer would cost more than the call
	}
	return context.WithTimeout(ctx, e.storeTimeout())
}

func (e *Endpoint) storeTimeout() time.Duration { return cmp.Or(e.StoreTimeout, DefaultStoreTimeout) }

// margin is how long before the lease the function's context ends.
func margin(lease time.Duration) time.Duration { return min(lease/10, 5*time.Second) }

// run is one claim that was acquired.
type run struct {
	endpoint   *Endpoint
	store      Store
	key, token string
	keep       time.Duration
}

func (r *run) do(ctx context.Context, deadline time.Time, ev *Event, fn func(context.Context, *Event) error) Outcome {
	returned := false
	defer func() {
		if !returned { // a panic, or runtime.Goexit: it goes on, and the next attempt runs
			_ = r.release(ctx)
		}
	}()
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := fn(limited, ev)
	returned = true
	if err != nil && !errors.Is(err, ErrPermanent) {
		if lost := r.release(ctx); lost != nil {
			err = fmt.Errorf("%w (and the claim was not released: %w)", err, lost)
		}
		return failed(err)
	}
	lost := r.complete(ctx)
	if err != nil {
		return dropped(err, lost)
	}
	return processed(lost)
}

// complete tries again if the store fails: the function has run, and without
// the mark the next attempt would run it once more.
func (r *run) complete(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait *= 4 {
		limited, cancel := r.endpoint.bounded(ctx, r.store)
		err := r.store.Complete(limited, r.key, r.token, r.keep)
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrLeaseLost):
			return fmt.Errorf("%w: the run took longer than its lease and another took over: the function may have run twice", err)
		case wait > 400*time.Millisecond:
			return fmt.Errorf("%w: the function succeeded but could not be marked as done, another attempt would run it again: %w", ErrStore, err)
		}
		time.Sleep(wait)
	}
}

func (r *run) release(ctx context.Context) error {
	ctx, cancel := r.endpoint.bounded(ctx, r.store)
	defer cancel()
	err := r.store.Release(ctx, r.key, r.token)
	if err == nil || errors.Is(err, ErrLeaseLost) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

// transact runs fn inside the store's transaction. The store's own work before
// and after fn is bounded by StoreTimeout, and fn by the lease.
func (e *Endpoint) transact(ctx context.Context, tx Transactor, key string, lease, keep time.Duration, ev *Event,
	fn func(context.Context, *Event) error,
) Outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := time.AfterFunc(e.storeTimeout(), cancel)
	defer func() { watch.Stop() }()
	ran := false
	var fnErr error
	state, err := tx.Transact(ctx, key, keep, func(ctx context.Context) error {
		if !watch.Stop() {
			return fmt.Errorf("%w: it took too long to begin: %w", ErrStore, context.Cause(ctx))
		}
		limited, stop := context.WithTimeout(ctx, lease-margin(lease))
		defer stop()
		defer func() { watch = time.AfterFunc(e.storeTimeout(), cancel) }() // for the commit or the rollback
		ran = true
		fnErr = fn(limited, ev)
		return fnErr
	})
	if err == nil && ran {
		err = fnErr // if a broken store lost it
	}
	switch {
	case err == nil && state == Done:
		return Outcome{Result: Duplicate, Status: http.StatusOK}
	case err == nil && state == InProgress:
		return inProgress(0)
	case state != Acquired || errors.Is(err, ErrStore):
		return unavailable(err)
	case !ran:
		return unavailable(errors.New("it did not run the function"))
	case err == nil:
		return processed(nil)
	case errors.Is(err, ErrPermanent):
		return dropped(err, nil)
	}
	return failed(err)
}

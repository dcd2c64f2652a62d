package geminihook

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// transact runs the function inside a transaction. The store may take RunTimeout
// to begin it, because writers may have to queue, and StoreTimeout to end it after
// the function.
func (r *run) transact(ctx context.Context, transactor Transactor) Outcome {
	now := time.Now()
	latestBegin := r.ends(now) // to begin may take as long as to run the function
	latestEnd := now.Add(r.runTimeout).Add(r.runTimeout).Add(r.storeTimeout)
	ctx, cancel := context.WithDeadline(ctx, latestEnd)
	defer cancel()
	t := &transaction{run: r, limit: time.AfterFunc(time.Until(latestBegin), cancel)}
	defer t.limit.Stop()
	state, err := transactor.Transact(ctx, r.key, r.keep, t.call)
	if err != nil && ctx.Err() != nil {
		err = t.explain(err)
	}
	return t.outcome(state, err)
}

// transaction follows one call of Transact through its phases.
type transaction struct {
	run   *run
	limit *time.Timer  // ends the context if the store takes too long to begin or to end
	phase atomic.Int32 // the store may call the function from another goroutine
	fnErr error        // what the function returned; read only in the phase ending
}

// The phases of a transaction.
const (
	beginning int32 = iota
	running
	ending
)

// call is the function that the store calls inside the transaction.
func (t *transaction) call(ctx context.Context) error {
	if !t.limit.Stop() || ctx.Err() != nil {
		return fmt.Errorf("%w: the transaction began too late", ErrStore)
	}
	t.phase.Store(running)
	// If the function panics or exits, and the store recovers, nothing was handled.
	t.fnErr = errPanic
	defer func() {
		t.phase.Store(ending)
		t.limit.Reset(t.run.storeTimeout)
	}()
	t.fnErr = t.run.callWatched(ctx)
	return t.fnErr
}

// explain extends an error of the store with the phase that took too long.
func (t *transaction) explain(err error) error {
	phase := t.phase.Load()
	switch {
	case phase == beginning:
		return fmt.Errorf("the transaction did not begin within RunTimeout (%v) "+
			"or before the deadline of the request: %w", t.run.runTimeout, err)
	case phase == ending && t.fnErr == nil:
		return fmt.Errorf("the transaction did not end within StoreTimeout (%v): %w",
			t.run.storeTimeout, err)
	}
	return err // the function still runs, or its own error already has the cause
}

// outcome returns the Outcome, given what Transact returned.
func (t *transaction) outcome(state State, err error) Outcome {
	phase := t.phase.Load()
	ran := phase != beginning
	if phase == ending && err == nil {
		err = t.fnErr // in case the store lost it
	}
	switch {
	case phase == running:
		returned := fmt.Errorf("%w: the Transactor returned before the function did", ErrStore)
		return unavailable(errors.Join(returned, err))
	case !ran && err == nil && state == Done:
		return outcome(Duplicate, nil)
	case !ran && err == nil && state == InProgress:
		return outcome(Busy, ErrInProgress)
	case !ran && err == nil:
		return unavailable(fmt.Errorf(
			"%w: the Transactor did not run the function, but returned %v", ErrStore, state))
	case ran && err == nil && state != Acquired:
		return unavailable(fmt.Errorf(
			"%w: the Transactor ran the function, but returned %v", ErrStore, state))
	case !ran || state != Acquired || errors.Is(err, ErrStore): // err is not nil
		return unavailable(err)
	case err == nil:
		return outcome(Processed, nil)
	case errors.Is(err, ErrPermanent):
		return outcome(Dropped, err)
	}
	return outcome(Failed, err)
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/geminihook/geminihook"
)

// rollbackBehaviors are about the ways in which the function of Transact can
// end without success.
var rollbackBehaviors = []behavior{
	{
		name: "rolls back on error", test: transactError,
		why: "Otherwise half of the work is committed, or a failed event is never retried.",
	},
	{
		name: "rolls back on panic", test: transactPanic,
		why: "Otherwise half of the work is committed, or a failed event is never retried.",
	},
	{
		name: "rolls back on Goexit", test: transactGoexit,
		why: "The function neither returned nil nor panicked: code that commits unless it recovers something commits half of the work.",
	},
	{
		name: "runs the function once", test: transactOnce,
		why: "The function may have effects that no rollback undoes.",
	},
	{
		name: "permanent", test: transactPermanent,
		why: "Otherwise the sender repeats for a day what cannot succeed.",
	},
	{
		name: "permanent inside another error", test: transactWrapped,
		why: "ErrPermanent counts wherever errors.Is finds it, not only as the outermost error.",
	},
	{
		name: "canceled while it runs", test: transactCanceledInside,
		why: "Mark and writes must be both there or both not there.",
	},
}

var errOwn = errors.New("the function's own error")

// fail returns a function that returns err.
func fail(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func transactError(h *harness) {
	tx := h.transact(h.ctx, h.firstTransactor, key, long, fail(errOwn))
	if !errors.Is(tx.err, errOwn) || errors.Is(tx.err, geminihook.ErrStore) {
		h.t.Errorf("the function returned an error, and Transact returned %v, want the same error",
			tx.err)
	}
	if tx.state != geminihook.Acquired {
		h.t.Errorf("the function returned an error, and the state is %s, want Acquired", tx.state)
	}
	h.wantCommitted(0, key, "after the function returned an error")
	h.mustTransact(h.secondTransactor, key, long, "after the function returned an error")
}

func transactPanic(h *harness) {
	var recovered any
	func() {
		defer func() { recovered = recover() }()
		h.transact(h.ctx, h.firstTransactor, key, long, func(context.Context) error {
			panic(errOwn)
		})
	}()
	if recovered != any(errOwn) {
		h.t.Errorf("the function panicked with %v, and the caller of Transact recovered %v",
			errOwn, recovered)
	}
	h.wantCommitted(0, key, "after the function panicked")
	h.mustTransact(h.secondTransactor, key, long, "after the function panicked")
}

func transactGoexit(h *harness) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.transact(h.ctx, h.firstTransactor, key, long, func(context.Context) error {
			runtime.Goexit()
			return nil
		})
	}()
	<-ended
	h.wantCommitted(0, key, "after the function called runtime.Goexit")
	h.mustTransact(h.secondTransactor, key, long, "after the function called runtime.Goexit")
}

func transactOnce(h *harness) {
	for i, err := range []error{
		nil, errOwn, geminihook.Permanent(errOwn), context.DeadlineExceeded, geminihook.ErrStore,
	} {
		tx := h.transact(h.ctx, h.firstTransactor, fmt.Sprint(key, i), long, fail(err))
		if tx.runs != 1 {
			h.t.Errorf("the function returns %v: one call of Transact ran it %d times, want 1",
				err, tx.runs)
		}
	}
}

func transactPermanent(h *harness) { h.permanent(key, geminihook.Permanent(errOwn)) }

func transactWrapped(h *harness) {
	h.permanent(key, fmt.Errorf("while handling the event: %w", geminihook.Permanent(errOwn)))
	h.permanent(key+"2", errors.Join(errors.New("another error"), geminihook.Permanent(errOwn)))
	h.permanent(key+"3", fmt.Errorf("%w: %w", geminihook.ErrPermanent, errOwn))
}

func (h *harness) permanent(key string, err error) {
	h.t.Helper()
	tx := h.transact(h.ctx, h.firstTransactor, key, long, fail(err))
	if !errors.Is(tx.err, geminihook.ErrPermanent) || !errors.Is(tx.err, errOwn) {
		h.t.Errorf("the function returned a permanent error, and Transact returned %v, want the same error",
			tx.err)
	}
	if tx.state != geminihook.Acquired {
		h.t.Errorf("the function returned a permanent error, and the state is %s, want Acquired",
			tx.state)
	}
	h.wantCommitted(0, key, "after the function returned a permanent error")
	h.wantNoRun(geminihook.Done, h.secondTransactor, key,
		fmt.Sprintf("after the function returned a permanent error (%T)", err))
	h.wantCommitted(0, key, "after the function returned a permanent error")
}

func transactCanceledInside(h *harness) {
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	tx := h.transact(ctx, h.firstTransactor, key, long, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if tx.err == nil || tx.runs != 1 {
		h.t.Errorf("the context ended while the function ran, which returned its error: Transact returned %v after %d runs",
			tx.err, tx.runs)
	}
	h.wantCommitted(0, key, "after the function returned the error of its context")
	h.mustTransact(h.secondTransactor, key, long,
		"after the function returned the error of its context")

	ctx, cancel = context.WithCancel(h.ctx)
	defer cancel()
	k := key + "2"
	tx = h.transact(ctx, h.firstTransactor, k, long, func(context.Context) error {
		cancel()
		return nil // it has not noticed
	})
	if tx.err != nil && !errors.Is(tx.err, geminihook.ErrStore) {
		h.t.Errorf("the context ended before the commit, and Transact returned %v, want ErrStore or no error",
			tx.err)
	}
	if tx.err == nil {
		h.wantCommitted(1, k, "after Transact returned no error")
		h.wantNoRun(geminihook.Done, h.secondTransactor, k, "after Transact returned no error")
		return
	}
	// The fate of the commit may be unknown: the next call finds out, and
	// either way there is one row in the end.
	h.eventually("the key was free or Done after the context had ended", func() bool {
		tx := h.transact(h.ctx, h.secondTransactor, k, long, succeed)
		h.wantNoError(tx.err, "Transact after a transaction whose context had ended")
		return tx.state != geminihook.InProgress
	})
	h.wantCommitted(1, k,
		"after a transaction whose context had ended, and another call of Transact")
}

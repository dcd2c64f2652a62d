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
		contract: "If the function returns an error, mark and writes are rolled back, the key is free, and the error is the function's and not ErrStore.",
	},
	{
		name: "rolls back on panic", test: transactPanic,
		contract: "If the function panics, mark and writes are rolled back, the key is free, and the panic goes on.",
	},
	{
		name: "rolls back on Goexit", test: transactGoexit,
		contract: "If the function ends its goroutine with runtime.Goexit, as t.FailNow and some libraries do, mark and writes are rolled back, and the key is free. " +
			"It neither returned nil nor panicked: code that commits unless it recovers something commits half of the work.",
	},
	{
		name: "runs the function once", test: transactOnce,
		contract: "One call of Transact runs the function at most once, whatever it returns. The function may have effects that no rollback undoes.",
	},
	{
		name: "permanent", test: transactPermanent,
		contract: "If the function's error is ErrPermanent, its writes are rolled back, the mark is committed, and the error is returned.",
	},
	{
		name: "permanent inside another error", test: transactWrapped,
		contract: "ErrPermanent counts wherever errors.Is finds it, not only as the outermost error. Otherwise the sender repeats for a day what cannot succeed.",
	},
	{
		name: "canceled while it runs", test: transactCanceledInside,
		contract: "If the context ends while the function runs, mark and writes are either both committed, with no error, or both rolled back, with an error.",
	},
}

var errOwn = errors.New("the function's own error")

func transactError(h *harness) {
	tx := h.transact(h.Context(), h.transactor1, key, long, func(context.Context) error { return errOwn })
	if !errors.Is(tx.err, errOwn) || errors.Is(tx.err, geminihook.ErrStore) {
		h.Errorf("the function returned an error, and Transact returned %v, want the same error", tx.err)
	}
	if tx.state != geminihook.Acquired {
		h.Errorf("the function returned an error, and the state is %s, want Acquired", nameOf(tx.state))
	}
	h.committed(0, key, "after the function returned an error")
	h.runs(h.transactor2, key, long, "after the function returned an error")
}

func transactPanic(h *harness) {
	var recovered any
	func() {
		defer func() { recovered = recover() }()
		h.transact(h.Context(), h.transactor1, key, long, func(context.Context) error { panic(errOwn) })
	}()
	if recovered != any(errOwn) {
		h.Errorf("the function panicked with %v, and the caller of Transact recovered %v", errOwn, recovered)
	}
	h.committed(0, key, "after the function panicked")
	h.runs(h.transactor2, key, long, "after the function panicked")
}

func transactGoexit(h *harness) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.transact(h.Context(), h.transactor1, key, long, func(context.Context) error {
			runtime.Goexit()
			return nil
		})
	}()
	<-ended
	h.committed(0, key, "after the function called runtime.Goexit")
	h.runs(h.transactor2, key, long, "after the function called runtime.Goexit")
}

func transactOnce(h *harness) {
	for i, err := range []error{nil, errOwn, geminihook.Permanent(errOwn), context.DeadlineExceeded, geminihook.ErrStore} {
		tx := h.transact(h.Context(), h.transactor1, fmt.Sprint(key, i), long, func(context.Context) error { return err })
		if tx.runs != 1 {
			h.Errorf("the function returns %v: one call of Transact ran it %d times, want 1", err, tx.runs)
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
	h.Helper()
	tx := h.transact(h.Context(), h.transactor1, key, long, func(context.Context) error { return err })
	if !errors.Is(tx.err, geminihook.ErrPermanent) || !errors.Is(tx.err, errOwn) {
		h.Errorf("the function returned a permanent error, and Transact returned %v, want the same error", tx.err)
	}
	if tx.state != geminihook.Acquired {
		h.Errorf("the function returned a permanent error, and the state is %s, want Acquired", nameOf(tx.state))
	}
	h.committed(0, key, "after the function returned a permanent error")
	h.runsNot(geminihook.Done, h.transactor2, key, fmt.Sprintf("after the function returned a permanent error (%T)", err))
	h.committed(0, key, "after the function returned a permanent error")
}

func transactCanceledInside(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	defer cancel()
	tx := h.transact(ctx, h.transactor1, key, long, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if tx.err == nil || tx.runs != 1 {
		h.Errorf("the context ended while the function ran, which returned its error: Transact returned %v after %d runs", tx.err, tx.runs)
	}
	h.committed(0, key, "after the function returned the error of its context")
	h.runs(h.transactor2, key, long, "after the function returned the error of its context")

	ctx, cancel = context.WithCancel(h.Context())
	defer cancel()
	k := key + "2"
	tx = h.transact(ctx, h.transactor1, k, long, func(context.Context) error {
		cancel()
		return nil // it has not noticed
	})
	if tx.err != nil && !errors.Is(tx.err, geminihook.ErrStore) {
		h.Errorf("the context ended before the commit, and Transact returned %v, want ErrStore or no error", tx.err)
	}
	if tx.err == nil {
		h.committed(1, k, "after Transact returned no error")
		h.runsNot(geminihook.Done, h.transactor2, k, "after Transact returned no error")
		return
	}
	// The fate of the commit may be unknown: the next call finds out, and
	// either way there is one row in the end.
	h.until("the key was not InProgress after a transaction whose context had ended", func() bool {
		tx := h.transact(h.Context(), h.transactor2, k, long, succeed)
		h.ok(tx.err, "Transact after a transaction whose context had ended")
		return tx.state != geminihook.InProgress
	})
	h.committed(1, k, "after a transaction whose context had ended, and another call of Transact")
}

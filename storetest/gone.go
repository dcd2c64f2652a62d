package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	goneContract = "Every call is bounded in time by its context, and a store that cannot reach its backend returns an error: never a state, " +
		"and never ErrLeaseLost, which is a statement about the key. The sender waits for the response."

	patience = 2 * time.Second // after the context has ended
)

// goneBehaviors are about a backend that cannot be reached.
var goneBehaviors = []behavior{
	{name: "gone", needs: needsGone, test: gone, contract: goneContract},
}

func gone(h *harness) {
	h.bounded("Claim", func(ctx context.Context) error {
		c, err := h.first.Claim(ctx, key, "1", long, long)
		if err != nil && c.State != 0 {
			return fmt.Errorf("%w and %s", errWrong, nameOf(c.State))
		}
		return err
	})
	h.bounded("Complete", func(ctx context.Context) error { return h.first.Complete(ctx, key, "1", long) })
	h.bounded("Release", func(ctx context.Context) error { return h.first.Release(ctx, key, "1") })
	h.bounded("Renew", func(ctx context.Context) error { return h.first.Renew(ctx, key, "1", long) })
}

func transactGone(h *harness) {
	h.bounded("Transact", func(ctx context.Context) error {
		tx := h.transact(ctx, h.transactor1, key, long, succeed)
		switch {
		case tx.runs != 0:
			return fmt.Errorf("%w, and ran the function", errWrong)
		case tx.err != nil && (tx.state == geminihook.Done || tx.state == geminihook.InProgress):
			return fmt.Errorf("%w and %s", errWrong, nameOf(tx.state))
		case tx.err != nil && !errors.Is(tx.err, geminihook.ErrStore):
			return fmt.Errorf("%w that does not wrap ErrStore: %w", errWrong, tx.err)
		}
		return tx.err
	})
}

// errWrong is in the place of an error that is not what the contract says.
var errWrong = errors.New("an error")

// bounded checks that the call ends after its context. It does not look at a
// clock, but waits in steps, which take longer on a busy machine, and gives the
// store a second chance.
func (h *harness) bounded(what string, call func(ctx context.Context) error) {
	h.Helper()
	const tries = 2
	for range tries {
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- call(ctx) }()
		if err, ok := h.patiently(ctx, ended); ok {
			if errors.Is(err, errWrong) {
				h.Fatalf("%s of a store that is gone returned %v", what, err)
			}
			h.failed(err, what+" of a store that is gone")
			return
		}
	}
	h.Fatalf("%d times, %s of a store that is gone had not returned %v after its context had ended", tries, what, patience)
}

func (h *harness) patiently(ctx context.Context, ended <-chan error) (err error, ok bool) {
	select {
	case err := <-ended:
		return err, true
	case <-ctx.Done():
	}
	for range patience / step {
		select {
		case err := <-ended:
			return err, true
		case <-time.After(step):
		}
	}
	return nil, false
}

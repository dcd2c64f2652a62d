package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// patience is how long a call may take after its context has ended.
const patience = 2 * time.Second

// goneBehaviors are about a backend that cannot be reached.
var goneBehaviors = []behavior{
	{
		name: "gone", needs: needsGone, test: gone,
		why: "The sender waits for the response, and ErrLeaseLost would be a statement about the key.",
	},
}

func gone(h *harness) {
	h.wantBounded("Claim", func(ctx context.Context) error {
		c, err := h.first.Claim(ctx, key, "1", long, long)
		if err != nil && c.State != 0 {
			return fmt.Errorf("%w and %s", errWrong, c.State)
		}
		return err
	})
	h.wantBounded("Renew", func(ctx context.Context) error {
		return h.first.Renew(ctx, key, "1", long)
	})
	h.wantBounded("Complete", func(ctx context.Context) error {
		return h.first.Complete(ctx, key, "1", long)
	})
	h.wantBounded("Release", func(ctx context.Context) error {
		return h.first.Release(ctx, key, "1")
	})
}

func transactGone(h *harness) {
	h.wantBounded("Transact", func(ctx context.Context) error {
		tx := h.transact(ctx, h.firstTransactor, key, long, succeed)
		switch {
		case tx.runs != 0:
			return fmt.Errorf("%w, and ran the function", errWrong)
		case tx.err != nil && (tx.state == geminihook.Done || tx.state == geminihook.InProgress):
			return fmt.Errorf("%w and %s", errWrong, tx.state)
		case tx.err != nil && !errors.Is(tx.err, geminihook.ErrStore):
			return fmt.Errorf("%w that does not wrap ErrStore: %w", errWrong, tx.err)
		}
		return tx.err
	})
}

// errWrong is in the place of an error that is not what the contract says.
var errWrong = errors.New("an error")

// wantBounded checks that the call ends after its context. It does not look at a
// clock, but waits in steps, which take longer on a busy machine, and gives the
// store a second chance.
func (h *harness) wantBounded(what string, call func(ctx context.Context) error) {
	h.t.Helper()
	const tries = 2
	for range tries {
		ctx, cancel := context.WithTimeout(h.ctx, time.Second)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- call(ctx) }()
		if err, ok := h.awaitReturn(ctx, ended); ok {
			if errors.Is(err, errWrong) {
				h.t.Fatalf("%s of a store that is gone returned %v", what, err)
			}
			h.wantFailure(err, what+" of a store that is gone")
			return
		}
	}
	h.t.Fatalf("%d times, %s of a store that is gone had not returned %v after its context had ended",
		tries, what, patience)
}

func (h *harness) awaitReturn(ctx context.Context, ended <-chan error) (err error, ok bool) {
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

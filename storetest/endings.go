package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/geminihook/geminihook"
)

// endingBehaviors are about a function that ends the transaction itself.
var endingBehaviors = []behavior{
	{
		name: "notices that it was ended", needs: needsEndings, test: transactEnded,
		why: "Otherwise the event is acknowledged without the function's writes, and never sent again.",
	},
}

// transactEnded also writes after the end, because a function that ends its
// transaction goes on without knowing what it did.
func transactEnded(h *harness) {
	results := map[string]error{
		"nil":               nil,
		"an error":          errOwn,
		"a permanent error": geminihook.Permanent(errOwn),
	}
	for _, ending := range slices.Sorted(maps.Keys(h.writes.Endings)) {
		for _, result := range slices.Sorted(maps.Keys(results)) {
			when := fmt.Sprintf("after the function did %s and returned %s", ending, result)
			k := key + "/" + ending + "/" + result
			tx := h.transact(h.ctx, h.firstTransactor, k, long, func(ctx context.Context) error {
				if err := h.writes.Endings[ending](ctx); err != nil {
					return fmt.Errorf("the database refused it: %w", err)
				}
				_ = h.writes.Write(ctx, nameFor(k))
				return results[result]
			})
			if tx.runs != 1 {
				h.t.Fatalf("for a new key, Transact ran the function %d times, want 1, and returned %v",
					tx.runs, tx.err)
			}
			if tx.err == nil {
				h.t.Fatalf("%s, Transact returned %s and no error", when, tx.state)
			}
			if errors.Is(tx.err, geminihook.ErrPermanent) &&
				!errors.Is(tx.err, geminihook.ErrStore) {
				h.t.Fatalf("%s, Transact returned %q, which acknowledges the event: want an error that wraps ErrStore or does not wrap ErrPermanent",
					when, tx.err)
			}
			h.mustTransact(h.secondTransactor, k, long, when)
			h.wantNoRun(geminihook.Done, h.firstTransactor, k, "after a commit")
		}
	}
}

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
		name: "notices that the function ended the transaction", needs: needsEndings, test: transactEnded,
		contract: "If the function ends or restarts the transaction, Transact returns an error, whatever the function returns, and the key is not Done " +
			"afterwards. Otherwise the event is acknowledged without the function's writes, and never sent again.",
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
			when := fmt.Sprintf("after the function had ended the transaction with %s and returned %s", ending, result)
			k := key + "/" + ending + "/" + result
			tx := h.transact(h.Context(), h.transactor1, k, long, func(ctx context.Context) error {
				if err := h.writes.Endings[ending](ctx); err != nil {
					return fmt.Errorf("the database refused it: %w", err)
				}
				_ = h.writes.Write(ctx, nameFor(k))
				return results[result]
			})
			if tx.runs != 1 {
				h.Fatalf("for a new key, Transact ran the function %d times, want 1, and returned %v", tx.runs, tx.err)
			}
			if tx.err == nil {
				h.Fatalf("%s, Transact returned %s and no error", when, nameOf(tx.state))
			}
			if errors.Is(tx.err, geminihook.ErrPermanent) && !errors.Is(tx.err, geminihook.ErrStore) {
				h.Fatalf("%s, Transact returned %q, which acknowledges the event: want an error that wraps ErrStore or does not wrap ErrPermanent",
					when, tx.err)
			}
			h.runs(h.transactor2, k, long, when)
			h.runsNot(geminihook.Done, h.transactor1, k, when+", and a mended one had committed")
		}
	}
}

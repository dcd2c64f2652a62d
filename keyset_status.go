package geminihook

import (
	"context"
	"fmt"
	"time"
)

// KeySetStatus is the state of a [KeySet], for metrics.
type KeySetStatus struct {
	Keys      int       // the number of keys that verify deliveries now
	FetchedAt time.Time // when the keys were fetched; zero before the first success
	Failures  int       // the number of fetches that have failed since then
	LastError error     // why the last fetch failed; nil if it succeeded or there was none
}

// Status returns the current state, without a fetch. Even if fetches fail, the keys
// serve until 24 hours after FetchedAt. A nil KeySet has the zero KeySetStatus.
func (k *KeySet) Status() KeySetStatus {
	if k == nil {
		return KeySetStatus{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	status := KeySetStatus{Failures: k.failures, LastError: k.lastErr}
	if keys := k.usable(k.now()); keys != nil {
		status.Keys = len(keys.keys)
	}
	if k.cached != nil {
		status.FetchedAt = k.fetched
	}
	return status
}

// Refresh fetches the keys unless fresh ones are cached. Call it when the program
// starts and from its readiness check, so that the first delivery need not wait.
// It shares a fetch that is in progress, and starts none more often than Verify
// does. It returns nil if there are then keys that verify deliveries, even if they
// are old ones because the fetch failed. Otherwise the error wraps
// [ErrUnavailable], as it does for a nil KeySet; if ctx has ended, it wraps the
// error of ctx, too.
func (k *KeySet) Refresh(ctx context.Context) error {
	if k == nil {
		return withReason(ErrUnavailable, "the *KeySet is nil")
	}
	keys, fresh := k.load()
	if fresh {
		return nil
	}
	refreshed, err := k.refresh(ctx, keys)
	if keys == nil && refreshed == nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

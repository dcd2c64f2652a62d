package geminihook_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

// countingStore counts the calls.
type countingStore struct {
	geminihook.Store
	calls atomic.Int64
}

func (s *countingStore) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	s.calls.Add(1)
	return s.Store.Claim(ctx, key, lease, keep)
}

func (s *countingStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	s.calls.Add(1)
	return s.Store.Complete(ctx, key, token, keep)
}

func (s *countingStore) Release(ctx context.Context, key, token string) error {
	s.calls.Add(1)
	return s.Store.Release(ctx, key, token)
}

var errStoreAway = errors.New("connection refused")

// troubledStore is a MemoryStore whose methods fail as often as asked.
type troubledStore struct {
	geminihook.MemoryStore
	claims, completes, releases atomic.Int64 // how many calls fail still
	completed                   atomic.Int64 // calls of Complete
}

func (s *troubledStore) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	if s.claims.Add(-1) >= 0 {
		return geminihook.Claim{}, errStoreAway
	}
	return s.MemoryStore.Claim(ctx, key, lease, keep)
}

func (s *troubledStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	s.completed.Add(1)
	if s.completes.Add(-1) >= 0 {
		return errStoreAway
	}
	return s.MemoryStore.Complete(ctx, key, token, keep)
}

func (s *troubledStore) Release(ctx context.Context, key, token string) error {
	if s.releases.Add(-1) >= 0 {
		return errStoreAway
	}
	return s.MemoryStore.Release(ctx, key, token)
}

// zeroStore answers a zero Claim.
type zeroStore struct{ geminihook.Store }

func (zeroStore) Claim(context.Context, string, time.Duration, time.Duration) (geminihook.Claim, error) {
	return geminihook.Claim{}, nil
}

// hangingStore never answers before its context ends.
type hangingStore struct{ geminihook.Store }

func (hangingStore) Claim(ctx context.Context, _ string, _, _ time.Duration) (geminihook.Claim, error) {
	<-ctx.Done()
	return geminihook.Claim{}, ctx.Err()
}

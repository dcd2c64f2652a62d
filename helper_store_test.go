package geminihook_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

// fixedVerifier returns the same for every delivery.
type fixedVerifier struct {
	proof geminihook.Proof
	err   error
}

func (v fixedVerifier) Verify(context.Context, http.Header, []byte) (geminihook.Proof, error) {
	return v.proof, v.err
}

var errStoreAway = errors.New("connection refused")

// hookedStore is a MemoryStore with a function that is called before each method.
// If it returns an error, the method is not carried out. The method is carried out
// even if its context has ended by then.
type hookedStore struct {
	geminihook.MemoryStore
	before func(ctx context.Context, method string) error
	calls  atomic.Int64
}

func (s *hookedStore) call(ctx context.Context, method string) error {
	s.calls.Add(1)
	if s.before == nil {
		return nil
	}
	return s.before(ctx, method)
}

func (s *hookedStore) Claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	if err := s.call(ctx, "Claim"); err != nil {
		return geminihook.Claim{}, err
	}
	return s.MemoryStore.Claim(context.WithoutCancel(ctx), key, token, lease, keep)
}

func (s *hookedStore) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	if err := s.call(ctx, "Renew"); err != nil {
		return err
	}
	return s.MemoryStore.Renew(context.WithoutCancel(ctx), key, token, lease)
}

func (s *hookedStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	if err := s.call(ctx, "Complete"); err != nil {
		return err
	}
	return s.MemoryStore.Complete(context.WithoutCancel(ctx), key, token, keep)
}

func (s *hookedStore) Release(ctx context.Context, key, token string) error {
	if err := s.call(ctx, "Release"); err != nil {
		return err
	}
	return s.MemoryStore.Release(context.WithoutCancel(ctx), key, token)
}

// failing returns a hook that lets the first calls of a method fail.
func failing(method string, times int64) func(context.Context, string) error {
	var left atomic.Int64
	left.Store(times)
	return func(_ context.Context, called string) error {
		if called == method && left.Add(-1) >= 0 {
			return errStoreAway
		}
		return nil
	}
}

// hanging returns a hook that lets a method hang until its context ends.
func hanging(method string) func(context.Context, string) error {
	return func(ctx context.Context, called string) error {
		if called != method {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// scriptedTransactor is a Transactor that runs fn as the script says.
type scriptedTransactor func(
	ctx context.Context, fn func(context.Context) error,
) (geminihook.State, error)

func (s scriptedTransactor) Transact(
	ctx context.Context, _ string, _ time.Duration, fn func(context.Context) error,
) (geminihook.State, error) {
	return s(ctx, fn)
}

// committing runs fn and commits.
func committing(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
	return geminihook.Acquired, fn(ctx)
}

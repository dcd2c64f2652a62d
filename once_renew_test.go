package geminihook_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// renewedStore is a MemoryStore that keeps what it was asked for.
type renewedStore struct {
	geminihook.MemoryStore
	renew func(n int) error // the result of the n-th Renew; nil means success

	mu     sync.Mutex
	lease  time.Duration // of the last Claim
	renews []time.Duration
}

func (s *renewedStore) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = lease
	return s.MemoryStore.Claim(ctx, key, lease, keep)
}

func (s *renewedStore) Renew(_ context.Context, _, _ string, lease time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renews = append(s.renews, lease)
	if s.renew != nil {
		return s.renew(len(s.renews))
	}
	return nil
}

func TestMaxRun(t *testing.T) {
	for _, tt := range []struct {
		name          string
		lease, maxRun time.Duration
		run           time.Duration
		renew         func(n int) error
		claimed       time.Duration // the lease of the claim
		renews        int
		result        geminihook.Result
		cause         error // of the end of the function's context
	}{
		{name: "zero means Lease", run: 50 * time.Second, claimed: time.Minute, result: geminihook.Processed},
		{name: "a long run", maxRun: time.Hour, run: 10*time.Minute + time.Second, claimed: time.Minute, renews: 30, result: geminihook.Processed},
		{name: "a short run", maxRun: time.Hour, run: 10 * time.Second, claimed: time.Minute, result: geminihook.Processed},
		{
			name: "too long a run", lease: 3 * time.Minute, maxRun: 10 * time.Minute, run: time.Hour, claimed: 3 * time.Minute,
			renews: 9, result: geminihook.Failed, cause: context.DeadlineExceeded,
		},
		{name: "shorter than Lease", maxRun: 10 * time.Second, run: time.Minute, claimed: time.Minute, result: geminihook.Failed, cause: context.DeadlineExceeded},
		{
			name: "the lease is lost", maxRun: time.Hour, run: time.Hour, claimed: time.Minute, renews: 2, result: geminihook.Failed, cause: geminihook.ErrLeaseLost,
			renew: func(n int) error {
				if n == 2 {
					return geminihook.ErrLeaseLost
				}
				return nil
			},
		},
		{
			name: "the store fails for a while", maxRun: time.Hour, run: 90 * time.Second, claimed: time.Minute, renews: 4, result: geminihook.Processed,
			renew: func(n int) error {
				if n < 3 {
					return errors.New("connection refused")
				}
				return nil
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &renewedStore{renew: tt.renew}
				e := &geminihook.Endpoint{Store: store, Lease: tt.lease, MaxRun: tt.maxRun}
				out := e.Process(t.Context(), newEvent(t), func(ctx context.Context, _ *geminihook.Event) error {
					select {
					case <-time.After(tt.run):
						return nil
					case <-ctx.Done():
						assert.ErrorIs(t, context.Cause(ctx), tt.cause)
						return ctx.Err()
					}
				})
				assert.Equal(t, tt.result, out.Result)
				assert.Equal(t, tt.claimed, store.lease)
				assert.Len(t, store.renews, tt.renews)
				for _, lease := range store.renews {
					assert.Equal(t, tt.claimed, lease)
				}
			})
		})
	}
}

// TestMaxRunWithoutRenewer: a claim holds for the whole run.
func TestMaxRunWithoutRenewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store geminihook.MemoryStore
		e := &geminihook.Endpoint{Store: &store, MaxRun: time.Hour}
		ev := newEvent(t)
		out := e.Process(t.Context(), ev, func(context.Context, *geminihook.Event) error {
			time.Sleep(55 * time.Minute)
			second := e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error { return nil })
			assert.Equal(t, geminihook.Busy, second.Result)
			return nil
		})
		assert.Equal(t, geminihook.Processed, out.Result)
	})
}

// TestMaxRunTransact: a transaction is not renewed, and MaxRun bounds it.
func TestMaxRunTransact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left time.Duration
		store := scriptedStore{transact: func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
			return geminihook.Acquired, fn(ctx)
		}}
		e := &geminihook.Endpoint{Store: store, MaxRun: time.Hour}
		out := e.Process(t.Context(), newEvent(t), func(ctx context.Context, _ *geminihook.Event) error {
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			left = time.Until(deadline)
			return nil
		})
		assert.Equal(t, geminihook.Processed, out.Result)
		assert.Equal(t, time.Hour-5*time.Second, left)
	})
}

// TestMaxRunShorterThanLeaseTransact: a transaction that begins later than half
// of MaxRun would leave the function no time.
func TestMaxRunShorterThanLeaseTransact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := scriptedStore{transact: func(ctx context.Context, _ func(context.Context) error) (geminihook.State, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}}
		e := &geminihook.Endpoint{Store: store, MaxRun: 10 * time.Second}
		start := time.Now()
		out := e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error { return nil })
		assert.Equal(t, geminihook.Unavailable, out.Result)
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

// TestRenewEndsAfterMaxRun: a function that hangs does not hold the key as long
// as the process lives, so that a later attempt can run.
func TestRenewEndsAfterMaxRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &renewedStore{}
		e := &geminihook.Endpoint{Store: store, MaxRun: 10 * time.Minute}
		e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error {
			time.Sleep(24 * time.Hour) // whatever its context says
			return nil
		})
		assert.Equal(t, 30, len(store.renews), "one every 20 seconds for 10 minutes")
	})
}

// TestMaxRunEndless: the longest duration means no limit, and does not overflow
// into one that has passed.
func TestMaxRunEndless(t *testing.T) {
	stores := map[string]geminihook.Store{
		"memory": &geminihook.MemoryStore{},
		"transactor": scriptedStore{transact: func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
			return geminihook.Acquired, errors.Join(ctx.Err(), fn(ctx))
		}},
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			e := &geminihook.Endpoint{Store: store, MaxRun: math.MaxInt64}
			out := e.Process(t.Context(), newEvent(t), func(ctx context.Context, _ *geminihook.Event) error { return ctx.Err() })
			require.NoError(t, out.Err)
			assert.Equal(t, geminihook.Processed, out.Result)
		})
	}
}

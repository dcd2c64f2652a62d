package geminihook_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

// zeroStore returns a zero Claim.
type zeroStore struct{ geminihook.Store }

func (zeroStore) Claim(context.Context, string, time.Duration, time.Duration) (geminihook.Claim, error) {
	return geminihook.Claim{}, nil
}

// hangingStore is a MemoryStore with one method that never returns before its
// context ends.
type hangingStore struct {
	geminihook.MemoryStore
	hangs string // the name of the method
}

func (s *hangingStore) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	if s.hangs == "Claim" {
		<-ctx.Done()
	}
	return s.MemoryStore.Claim(ctx, key, lease, keep)
}

func (s *hangingStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	if s.hangs == "Complete" {
		<-ctx.Done()
	}
	return s.MemoryStore.Complete(ctx, key, token, keep)
}

func (s *hangingStore) Release(ctx context.Context, key, token string) error {
	if s.hangs == "Release" {
		<-ctx.Done()
	}
	return s.MemoryStore.Release(ctx, key, token)
}

func TestStoreFails(t *testing.T) {
	fail := errors.New("no disk")
	for _, tt := range []struct {
		name                        string
		claims, completes, releases int64
		fnErr                       error
		status                      int
		result                      geminihook.Result
		err                         error
		again                       int // the next attempt's status
		runs                        int
	}{
		{name: "claim", claims: 1, status: 503, result: geminihook.Unavailable, err: geminihook.ErrStore, again: 200, runs: 1},
		{name: "complete once", completes: 1, status: 200, result: geminihook.Processed, again: 200, runs: 1},
		{name: "complete twice", completes: 2, status: 200, result: geminihook.Processed, again: 200, runs: 1},
		{name: "complete for good", completes: 99, status: 200, result: geminihook.Processed, err: geminihook.ErrStore, again: 503, runs: 1},
		{
			name: "complete for good after Permanent", completes: 99, fnErr: geminihook.Permanent(fail), status: 200,
			result: geminihook.Dropped, err: geminihook.ErrStore, again: 503, runs: 1,
		},
		{name: "release", releases: 1, fnErr: fail, status: 500, result: geminihook.Failed, err: geminihook.ErrStore, again: 503, runs: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &troubledStore{}
				store.claims.Store(tt.claims)
				store.completes.Store(tt.completes)
				store.releases.Store(tt.releases)
				rc := newPipeReceiver(t, &geminihook.Endpoint{Store: store}, func(context.Context, *geminihook.Event) error { return tt.fnErr })
				d := newBatch()
				got := rc.send(t, d)
				out := rc.outcome()
				assert.Equal(t, tt.status, got.status)
				assert.Equal(t, tt.result, out.Result)
				require.ErrorIs(t, out.Err, tt.err)
				if tt.fnErr != nil {
					require.ErrorIs(t, out.Err, tt.fnErr)
				}
				if tt.err != nil {
					require.ErrorIs(t, out.Err, errStoreAway, "the store's own words are kept")
				}
				assert.Equal(t, tt.status == 503, got.header.Get("Retry-After") != "")
				assert.Equal(t, tt.again, rc.send(t, d).status)
				assert.Equal(t, tt.runs, rc.runCount(d.ID()))
			})
		})
	}
}

func TestStoreReturnsNonsense(t *testing.T) {
	rc := newReceiver(t, &geminihook.Endpoint{Store: zeroStore{}}, nil)
	d := newBatch()
	assert.Equal(t, 503, rc.send(t, d).status)
	assert.ErrorIs(t, rc.outcome().Err, geminihook.ErrStore)
	assert.Zero(t, rc.runCount(d.ID()))
}

// TestStoreHangs: DefaultStoreTimeout bounds each call. Without it, nothing would
// ever end in this bubble.
func TestStoreHangs(t *testing.T) {
	const timeout = geminihook.DefaultStoreTimeout
	for _, tt := range []struct {
		hangs  string
		fnErr  error
		status int
		runs   int
		waited time.Duration
	}{
		{"Claim", nil, 503, 0, timeout},
		{"Complete", nil, 200, 1, 3*timeout + 500*time.Millisecond}, // three attempts with pauses
		{"Release", errors.New("no disk"), 500, 1, timeout},
	} {
		t.Run(tt.hangs, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rc := newPipeReceiver(t, &geminihook.Endpoint{Store: &hangingStore{hangs: tt.hangs}},
					func(context.Context, *geminihook.Event) error { return tt.fnErr })
				start := time.Now()
				d := newBatch()
				assert.Equal(t, tt.status, rc.send(t, d).status)
				assert.Equal(t, tt.waited, time.Since(start))
				assert.Equal(t, tt.runs, rc.runCount(d.ID()))
				err := rc.outcome().Err
				require.ErrorIs(t, err, geminihook.ErrStore)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		})
	}
}

package geminihook_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStoreFails: what the endpoint responds when a method of the store fails, and
// what the next attempt finds.
func TestStoreFails(t *testing.T) {
	type result struct {
		status int
		result geminihook.Result
		err    error
	}
	processed := result{200, geminihook.Processed, nil}
	unmarked := result{200, geminihook.Processed, geminihook.ErrStore}
	dropped := result{200, geminihook.Dropped, geminihook.ErrStore}
	unavailable := result{503, geminihook.Unavailable, geminihook.ErrStore}
	unreleased := result{500, geminihook.Failed, geminihook.ErrStore}
	for _, tt := range []struct {
		name   string
		before func(context.Context, string) error
		fnErr  error
		want   result
		again  int // the status of an attempt right afterward
	}{
		{"Claim", failing("Claim", 1), nil, unavailable, 200},
		{"Complete once", failing("Complete", 1), nil, processed, 200},
		{"Complete twice", failing("Complete", 2), nil, processed, 200},
		{"Complete for good", failing("Complete", 3), nil, unmarked, 503},
		{"Complete for good after Permanent", failing("Complete", 3), geminihook.Permanent(errDisk), dropped, 503},
		{"Release", failing("Release", 1), errDisk, unreleased, 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{Store: &hookedStore{before: tt.before}}
				rc := newPipeReceiver(t, e, failWith(tt.fnErr))
				d := newBatch()
				got := rc.send(t, d)
				out := rc.next()
				assert.Equal(t, tt.want.status, got.status)
				assert.Equal(t, tt.want.result, out.Result)
				require.ErrorIs(t, out.Err, tt.want.err)
				if tt.fnErr != nil {
					require.ErrorIs(t, out.Err, tt.fnErr)
				}
				if tt.want.err != nil {
					require.ErrorIs(t, out.Err, errStoreAway, "the store's own words are kept")
				}
				assert.Equal(t, tt.want.status == 503, got.header.Get("Retry-After") != "")
				assert.Equal(t, tt.again, rc.send(t, d).status)
			})
		})
	}
}

// nonsense returns a claim that no store may return.
type nonsense struct {
	geminihook.MemoryStore
	claim geminihook.Claim
}

func (s *nonsense) Claim(
	context.Context, string, string, time.Duration, time.Duration,
) (geminihook.Claim, error) {
	return s.claim, nil
}

// TestStoreReturnsNonsense: a broken store fails closed.
func TestStoreReturnsNonsense(t *testing.T) {
	for _, tt := range []struct {
		name       string
		claim      geminihook.Claim
		result     geminihook.Result
		retryAfter string
	}{
		{"zero state", geminihook.Claim{}, geminihook.Unavailable, "5"},
		{"unknown state", geminihook.Claim{State: 7}, geminihook.Unavailable, "5"},
		{"negative RetryIn", geminihook.Claim{State: geminihook.InProgress, RetryIn: -time.Hour}, geminihook.Busy, "5"},
		{"no RetryIn", geminihook.Claim{State: geminihook.InProgress}, geminihook.Busy, "5"},
		{"long RetryIn", geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Hour}, geminihook.Busy, "30"},
		{"short RetryIn", geminihook.Claim{State: geminihook.InProgress, RetryIn: 1}, geminihook.Busy, "1"},
		{"RetryIn with a fraction", geminihook.Claim{State: geminihook.InProgress, RetryIn: 2500 * time.Millisecond}, geminihook.Busy, "3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{Store: &nonsense{claim: tt.claim}}, succeed)
			d := newBatch()
			got := rc.send(t, d)
			assert.Equal(t, 503, got.status)
			assert.Equal(t, tt.retryAfter, got.header.Get("Retry-After"))
			assert.Equal(t, tt.result, rc.next().Result)
			assert.Zero(t, rc.of(d.ID()))
		})
	}
}

// TestStoreHangs: StoreTimeout bounds each call. Without it, nothing would ever end
// in this bubble.
func TestStoreHangs(t *testing.T) {
	for _, tt := range []struct {
		method  string
		timeout time.Duration // zero means 3 seconds
		fnErr   error
		status  int
		waited  time.Duration
	}{
		{"Claim", 0, nil, 503, 3 * time.Second},
		{"Claim", time.Minute, nil, 503, time.Minute},
		{"Complete", 0, nil, 200, 3*3*time.Second + 500*time.Millisecond}, // three attempts with pauses
		{"Release", 0, errDisk, 500, 3 * time.Second},
		{"Release", time.Second, errDisk, 500, time.Second},
	} {
		t.Run(tt.method+" "+tt.timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &hookedStore{before: hanging(tt.method)}
				e := &geminihook.Endpoint{Store: store, StoreTimeout: tt.timeout}
				observe(t, e)
				start := time.Now()
				out := e.Process(t.Context(), newEvent(t), failWith(tt.fnErr))
				assert.Equal(t, tt.waited, time.Since(start))
				assert.Equal(t, tt.status, out.Status)
				require.ErrorIs(t, out.Err, geminihook.ErrStore)
				require.ErrorIs(t, out.Err, context.DeadlineExceeded)
			})
		})
	}
}

// TestClaimOfUnknownOutcome: the response of a claim that the store carried out was
// lost, or it came too late. The claim is released once, with its own token, so that
// the next attempt runs at once.
func TestClaimOfUnknownOutcome(t *testing.T) {
	lost := func(ctx context.Context) error { return errStoreAway }
	late := func(ctx context.Context) error {
		letPass(31 * time.Second)
		return nil
	}
	for name, after := range map[string]func(context.Context) error{
		"lost":                 lost,
		"later than the lease": late,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &afterClaim{after: after}
				e := &geminihook.Endpoint{Store: store, StoreTimeout: time.Minute}
				observe(t, e)
				var r runs
				out := e.Process(t.Context(), newEvent(t), r.count(succeed))
				assert.Equal(t, geminihook.Unavailable, out.Result)
				require.ErrorIs(t, out.Err, geminihook.ErrStore)
				assert.Zero(t, r.of("msg_1"))
				synctest.Wait() // for the release in the background
				assert.Equal(t, store.claimed, store.released, "by the token of the claim, once")

				store.after = nil
				out = e.Process(t.Context(), newEvent(t), r.count(succeed))
				assert.Equal(t, geminihook.Processed, out.Result)
			})
		})
	}
}

// afterClaim is a MemoryStore with a function that is called after a claim.
type afterClaim struct {
	geminihook.MemoryStore
	after func(context.Context) error

	mu                sync.Mutex
	claimed, released []string // tokens
}

func (s *afterClaim) Claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	c, err := s.MemoryStore.Claim(ctx, key, token, lease, keep)
	if s.after == nil {
		return c, err
	}
	s.claimed = append(s.claimed, token)
	return c, s.after(ctx)
}

func (s *afterClaim) Release(ctx context.Context, key, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = append(s.released, token)
	return s.MemoryStore.Release(ctx, key, token)
}

// TestUnknownOutcomeWhileTheStoreHangs: the response does not wait for the release.
func TestUnknownOutcomeWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := func(ctx context.Context, method string) error {
			<-ctx.Done()
			return ctx.Err()
		}
		e := &geminihook.Endpoint{Store: &hookedStore{before: before}}
		observe(t, e)
		start := time.Now()
		assert.Equal(t, 503, e.Process(t.Context(), newEvent(t), succeed).Status)
		assert.Equal(t, 3*time.Second, time.Since(start))
		letPass(time.Minute) // until the release has given up
	})
}

// TestTokens: no two claims have the same token.
func TestTokens(t *testing.T) {
	store := &afterClaim{after: func(context.Context) error { return nil }}
	e := &geminihook.Endpoint{Store: store}
	observe(t, e)
	for range 1000 {
		e.Process(t.Context(), newEvent(t), failWith(errDisk))
	}
	seen := map[string]bool{}
	for _, token := range store.claimed {
		seen[token] = true
	}
	assert.Len(t, seen, 1000)
}

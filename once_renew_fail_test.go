package geminihook_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRenewFails: a run that cannot prove that it holds the key ends. The lease counts
// from the start of the last call that succeeded.
func TestRenewFails(t *testing.T) {
	away := func(context.Context, int) error { return errStoreAway }
	afterTwo := func(_ context.Context, n int) error {
		if n > 2 {
			return errStoreAway
		}
		return nil
	}
	hangs := func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ignoresContext := func(context.Context, int) error {
		letPass(time.Hour)
		return nil
	}
	slow := func(_ context.Context, n int) error {
		letPass(8 * time.Second)
		if n > 1 {
			return errStoreAway
		}
		return nil
	}
	taken := func(_ context.Context, n int) error {
		if n == 2 {
			return geminihook.ErrLeaseLost
		}
		return nil
	}
	for _, tt := range []struct {
		name  string
		renew func(context.Context, int) error
		ended time.Duration // when the function's context ended
		text  string
		calls int // at least
	}{
		{"the store is away", away, 30 * time.Second, "could not be renewed before it expired", 20},
		{"the store goes away", afterTwo, 50 * time.Second, "could not be renewed before it expired", 20},
		{"the store hangs", hangs, 30 * time.Second, "could not be renewed before it expired", 1},
		{"the store ignores its context", ignoresContext, 30 * time.Second, "could not be renewed before it expired", 1},
		{"the store is slow", slow, 40 * time.Second, "could not be renewed before it expired", 2},
		{"another claim took the key", taken, 20 * time.Second, "another claim has taken the key", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, times := renewals(tt.renew)
				e := &geminihook.Endpoint{Store: store, RunTimeout: 10 * time.Hour}
				o := observe(t, e)
				start := time.Now()
				var ended time.Duration
				fn := func(ctx context.Context, _ *geminihook.Event) error {
					<-ctx.Done()
					ended = time.Since(start)
					assert.ErrorIs(t, context.Cause(ctx), geminihook.ErrLeaseLost)
					return ctx.Err()
				}
				out := e.Process(t.Context(), newEvent(t), fn)
				letPass(2 * time.Hour) // until the store's calls have ended
				assert.Equal(t, tt.ended, ended)
				assert.GreaterOrEqual(t, len(times.all()), tt.calls)
				assert.Equal(t, geminihook.Failed, out.Result)
				require.ErrorIs(t, out.Err, geminihook.ErrLeaseLost)
				require.ErrorIs(t, out.Err, context.Canceled, "what the function returned")
				assert.ErrorContains(t, out.Err, tt.text)
				if tt.name == "the store is away" {
					assert.Contains(t, o.log(), "the lease was not renewed")
					assert.Contains(t, o.log(), "connection refused")
					assert.Contains(t, o.log(), "webhook_id=msg_1")
				}
			})
		})
	}
}

// TestRenewRecovers: renewals that fail for a while do no harm. Of those that fail
// in a row, the first is logged.
func TestRenewRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, times := renewals(func(_ context.Context, n int) error {
			if n <= 3 || n == 6 {
				return errStoreAway
			}
			return nil
		})
		e := &geminihook.Endpoint{Store: store}
		o := observe(t, e)
		out := e.Process(t.Context(), newEvent(t), work(55*time.Second))
		assert.Equal(t, geminihook.Processed, out.Result)
		assert.Equal(t, atSeconds(10, 11, 12, 13, 23, 33, 34, 44, 54), times.all())
		assert.Equal(t, 2, countLines(o.log(), "the lease was not renewed"))
	})
}

// TestRenewInterrupted: a renewal that is under way when the function returns has not
// failed, so it is not logged.
func TestRenewInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, times := renewals(func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		})
		e := &geminihook.Endpoint{Store: store}
		o := observe(t, e)
		out := e.Process(t.Context(), newEvent(t), work(15*time.Second))
		synctest.Wait() // for the end of the renewal
		assert.Equal(t, geminihook.Processed, out.Result)
		assert.Equal(t, atSeconds(10), times.all())
		assert.Zero(t, countLines(o.log(), "the lease was not renewed"))
	})
}

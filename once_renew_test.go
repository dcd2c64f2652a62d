package geminihook_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// timesOf collects times.
type timesOf struct {
	mu   sync.Mutex
	list []time.Duration
}

func (t *timesOf) add(d time.Duration) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, d)
	return len(t.list)
}

// all returns the times, which may be none.
func (t *timesOf) all() []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]time.Duration{}, t.list...)
}

// renewals returns a store, and when a lease was renewed in it.
func renewals(renew func(ctx context.Context, n int) error) (*hookedStore, *timesOf) {
	start, times := time.Now(), &timesOf{}
	return &hookedStore{before: func(ctx context.Context, method string) error {
		if method != "Renew" {
			return nil
		}
		n := times.add(time.Since(start))
		if renew == nil {
			return nil
		}
		return renew(ctx, n)
	}}, times
}

// atSeconds is a list of times.
func atSeconds(numbers ...float64) []time.Duration {
	list := []time.Duration{}
	for _, n := range numbers {
		list = append(list, time.Duration(n*float64(time.Second)))
	}
	return list
}

// work returns a function that takes a time, unless its context ends.
func work(d time.Duration) function {
	return func(ctx context.Context, _ *geminihook.Event) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestRenew: a lease is renewed at every third of it, for as long as the function
// runs.
func TestRenew(t *testing.T) {
	for _, tt := range []struct {
		name              string
		lease, runTimeout time.Duration
		run               time.Duration
		want              []time.Duration
	}{
		{"short run", 0, 0, 9 * time.Second, atSeconds()},
		{"longer than a third", 0, 0, 11 * time.Second, atSeconds(10)},
		{"longer than the lease", 0, 0, 45 * time.Second, atSeconds(10, 20, 30, 40)},
		{"until RunTimeout", 0, 55 * time.Second, time.Hour, atSeconds(10, 20, 30, 40, 50)},
		{"a short lease", 3 * time.Second, 0, 2500 * time.Millisecond, atSeconds(1, 2)},
		{"a long lease", time.Hour, 0, time.Hour, atSeconds()},
		{"a short RunTimeout", 0, 5 * time.Second, time.Hour, atSeconds()},
		{"a long RunTimeout", time.Minute, time.Hour, 90 * time.Second, atSeconds(20, 40, 60, 80)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, times := renewals(nil)
				e := &geminihook.Endpoint{Store: store, Lease: tt.lease, RunTimeout: tt.runTimeout}
				observe(t, e)
				e.Process(t.Context(), newEvent(t), work(tt.run))
				letPass(time.Hour)
				assert.Equal(t, tt.want, times.all())
			})
		})
	}
}

// TestRenewKeepsOthersAway: however long a run takes, no other begins.
func TestRenewKeepsOthersAway(t *testing.T) {
	for name, store := range map[string]geminihook.Store{"own memory": nil, "a store": &geminihook.MemoryStore{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{Store: store, RunTimeout: time.Hour}
				observe(t, e)
				busy := 0
				out := e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error {
					for range 59 {
						letPass(time.Minute)
						if e.Process(t.Context(), newEvent(t), succeed).Result == geminihook.Busy {
							busy++
						}
					}
					return nil
				})
				assert.Equal(t, geminihook.Processed, out.Result)
				assert.Equal(t, 59, busy)
			})
		})
	}
}

// TestRenewFails: who cannot prove to hold the key does not go on. The lease counts
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
				out := e.Process(t.Context(), newEvent(t), func(ctx context.Context, _ *geminihook.Event) error {
					<-ctx.Done()
					ended = time.Since(start)
					assert.ErrorIs(t, context.Cause(ctx), geminihook.ErrLeaseLost)
					return ctx.Err()
				})
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

// TestRenewDeadline: a renewal may take until the lease ends, longer than
// StoreTimeout, and the next is due a third of the lease after the start of the
// last.
func TestRenewDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left timesOf
		store, times := renewals(func(ctx context.Context, _ int) error {
			deadline, _ := ctx.Deadline()
			left.add(time.Until(deadline))
			letPass(12 * time.Second)
			return nil
		})
		e := &geminihook.Endpoint{Store: store, StoreTimeout: time.Second}
		observe(t, e)
		out := e.Process(t.Context(), newEvent(t), work(50*time.Second))
		letPass(time.Minute)
		assert.Equal(t, geminihook.Processed, out.Result)
		assert.Equal(t, atSeconds(10, 22, 34, 46), times.all())
		assert.Equal(t, atSeconds(20, 18, 18, 18), left.all())
	})
}

// TestRenewAfterSlowClaim: the lease counts from the start of the claim, however
// late its response was.
func TestRenewAfterSlowClaim(t *testing.T) {
	for name, fails := range map[string]bool{"the store responds": false, "the store is away": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &hookedStore{before: func(_ context.Context, method string) error {
					switch {
					case method == "Claim":
						letPass(25 * time.Second)
					case fails:
						return errStoreAway
					}
					return nil
				}}
				e := &geminihook.Endpoint{Store: store, StoreTimeout: time.Minute}
				observe(t, e)
				start := time.Now()
				out := e.Process(t.Context(), newEvent(t), work(20*time.Second))
				if !fails {
					assert.Equal(t, geminihook.Processed, out.Result)
					return
				}
				assert.Equal(t, 30*time.Second, time.Since(start))
				require.ErrorIs(t, out.Err, geminihook.ErrLeaseLost)
			})
		})
	}
}

// TestRenewTinyLease: a lease that no renewal can hold ends the run instead of
// keeping the store busy.
func TestRenewTinyLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, times := renewals(nil)
		e := &geminihook.Endpoint{Store: store, Lease: 3}
		observe(t, e)
		e.Process(t.Context(), newEvent(t), work(10*time.Millisecond))
		assert.LessOrEqual(t, len(times.all()), 12)
	})
}

// TestEndless: the longest durations mean no limit, and do not overflow into the
// past.
func TestEndless(t *testing.T) {
	const endless = math.MaxInt64
	for name, e := range map[string]*geminihook.Endpoint{
		"own memory": {},
		"store":      {Store: &geminihook.MemoryStore{}},
		"transactor": {Transactor: scriptedTransactor(committing)},
	} {
		t.Run(name, func(t *testing.T) {
			observe(t, e)
			e.RunTimeout, e.StoreTimeout, e.Lease, e.Keep = endless, endless, endless, endless
			out := e.Process(t.Context(), newEvent(t), work(0))
			require.NoError(t, out.Err)
			assert.Equal(t, geminihook.Processed, out.Result)
		})
	}
}

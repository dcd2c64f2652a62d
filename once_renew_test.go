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

// durationList is a list of durations to which several goroutines may add.
type durationList struct {
	mu   sync.Mutex
	list []time.Duration
}

// add adds a duration and returns how many there are.
func (l *durationList) add(d time.Duration) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, d)
	return len(l.list)
}

// all returns a copy of the list, which is never nil.
func (l *durationList) all() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Duration{}, l.list...)
}

// renewals returns a store, and a list of the times at which it was asked to renew a
// lease, counted from now. Unless it is nil, renew is called first, with the number of
// the call.
func renewals(renew func(ctx context.Context, n int) error) (*hookedStore, *durationList) {
	start, times := time.Now(), &durationList{}
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
	for name, store := range map[string]geminihook.Store{
		"own memory": nil,
		"a store":    &geminihook.MemoryStore{},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{Store: store, RunTimeout: time.Hour}
				observe(t, e)
				busy := 0
				fn := func(context.Context, *geminihook.Event) error {
					for range 59 {
						letPass(time.Minute)
						if e.Process(t.Context(), newEvent(t), succeed).Result == geminihook.Busy {
							busy++
						}
					}
					return nil
				}
				out := e.Process(t.Context(), newEvent(t), fn)
				assert.Equal(t, geminihook.Processed, out.Result)
				assert.Equal(t, 59, busy)
			})
		})
	}
}

// TestRenewDeadline: a renewal may take until the lease ends, longer than
// StoreTimeout, and the next is due a third of the lease after the start of the
// last.
func TestRenewDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left durationList
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
	for name, fails := range map[string]bool{
		"the store responds": false,
		"the store is away":  true,
	} {
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

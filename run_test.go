package geminihook_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endpoints returns an endpoint of each kind.
func endpoints() map[string]*geminihook.Endpoint {
	return map[string]*geminihook.Endpoint{
		"own memory":  {},
		"store":       {Store: &geminihook.MemoryStore{}},
		"transaction": {Transactor: scriptedTransactor(committing)},
	}
}

// TestRunTimeout: the function's context ends after RunTimeout, or at the caller's
// deadline if that is earlier, and not when the caller cancels its own.
func TestRunTimeout(t *testing.T) {
	for _, tt := range []struct {
		name       string
		runTimeout time.Duration
		deadline   time.Duration // of the caller; zero means none
		want       time.Duration
		cause      string
	}{
		{"by default", 0, 0, time.Minute, "the run took longer than RunTimeout (1m0s)"},
		{"shorter than Lease", time.Second, 0, time.Second, "the run took longer than RunTimeout (1s)"},
		{"longer than Lease", time.Hour, 0, time.Hour, "the run took longer than RunTimeout (1h0m0s)"},
		{"the caller's deadline", 0, time.Second, time.Second, "the deadline of the request passed"},
		{"the caller's later deadline", 0, time.Hour, time.Minute, "the run took longer than RunTimeout (1m0s)"},
	} {
		for name, e := range endpoints() {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := observe(t, e)
					e.RunTimeout = tt.runTimeout
					ctx, cancel := context.WithCancel(t.Context())
					if tt.deadline > 0 {
						ctx, cancel = context.WithTimeout(t.Context(), tt.deadline)
					}
					start := time.Now()
					var cause error
					fn := func(ctx context.Context, _ *geminihook.Event) error {
						cancel()
						synctest.Wait()
						assert.NoError(t, ctx.Err())
						deadline, ok := ctx.Deadline()
						assert.True(t, ok)
						assert.Equal(t, tt.want, deadline.Sub(start), "its Deadline says so")
						<-ctx.Done()
						cause = context.Cause(ctx)
						return ctx.Err()
					}
					out := e.Process(ctx, newEvent(t), fn)
					assert.Equal(t, tt.want, time.Since(start))
					assert.Equal(t, geminihook.Failed, out.Result)
					require.ErrorIs(t, out.Err, context.DeadlineExceeded)
					require.ErrorIs(t, cause, context.DeadlineExceeded)
					assert.ErrorContains(t, out.Err, tt.cause)
					assert.ErrorContains(t, cause, tt.cause)
					assert.Contains(t, o.log(), tt.cause)
				})
			})
		}
	}
}

// TestRunTimeoutError: the outcome has the function's own error and the cause.
func TestRunTimeoutError(t *testing.T) {
	const cause = "the run took longer than RunTimeout (1m0s)"
	for _, tt := range []struct {
		name  string
		after time.Duration // when the function returns
		fnErr error
		want  string // of the outcome; empty for none
	}{
		{"its own error, in time", time.Second, errDisk, "disk full"},
		{"its own error, too late", 61 * time.Second, errDisk, "disk full (" + cause + ")"},
		{"the context's error", 61 * time.Second, context.DeadlineExceeded, "context deadline exceeded (" + cause + ")"},
		{"success, too late", 61 * time.Second, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{Store: &geminihook.MemoryStore{}}
				observe(t, e)
				fn := func(context.Context, *geminihook.Event) error {
					letPass(tt.after)
					return tt.fnErr
				}
				out := e.Process(t.Context(), newEvent(t), fn)
				if tt.want == "" {
					require.NoError(t, out.Err)
					assert.Equal(t, geminihook.Processed, out.Result)
					return
				}
				require.EqualError(t, out.Err, tt.want)
				require.ErrorIs(t, out.Err, tt.fnErr)
				late := tt.after > time.Second
				assert.Equal(t, late, errors.Is(out.Err, context.DeadlineExceeded))
			})
		})
	}
}

// TestRequestDeadline: the deadline of a request is kept.
func TestRequestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &geminihook.Endpoint{}
		observe(t, e)
		h := e.Handler(work(time.Hour))
		s := servePipe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		}))
		start := time.Now()
		assert.Equal(t, 500, s.send(t, newBatch()).status)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

const hangText = "the function has not returned, although its context has ended"

// TestHangingFunction: a function that ignores its context is logged once, 5
// seconds after its context has ended, and not before.
func TestHangingFunction(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		lines int
	}{
		{"returns in time", 59 * time.Second, 0},
		{"returns 4 seconds late", 64 * time.Second, 0},
		{"returns 6 seconds late", 66 * time.Second, 1},
		{"returns hours late", 5 * time.Hour, 1},
	} {
		for name, e := range endpoints() {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := observe(t, e)
					fn := func(context.Context, *geminihook.Event) error {
						letPass(tt.takes)
						assert.Equal(t, tt.lines, countLines(o.log(), hangText))
						return nil
					}
					e.Process(t.Context(), newEvent(t), fn)
					letPass(time.Hour)
					assert.Equal(t, tt.lines, countLines(o.log(), hangText))
					if tt.lines > 0 {
						assert.Contains(t, o.log(), "level=WARN")
						assert.Contains(t, o.log(), "webhook_id=msg_1 type=batch.succeeded job=batches/abc")
					}
				})
			})
		}
	}
}

// TestNoRunTimeout: the greatest durations mean no limit, and do not overflow into the
// past.
func TestNoRunTimeout(t *testing.T) {
	for name, e := range endpoints() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := observe(t, e)
				e.RunTimeout, e.StoreTimeout = math.MaxInt64, math.MaxInt64
				e.Lease, e.Keep = math.MaxInt64, math.MaxInt64
				out := e.Process(t.Context(), newEvent(t), work(24*time.Hour))
				assert.Equal(t, geminihook.Processed, out.Result)
				assert.Equal(t, 1, countLines(o.log(), ""), o.log())
				again := e.Process(t.Context(), newEvent(t), succeed)
				assert.Equal(t, e.Transactor == nil, again.Result == geminihook.Duplicate)
			})
		})
	}
}

// TestNoRunTimeoutMonotonic does the same by the machine's clock. Unlike synctest's, it
// has a monotonic reading, which overflows in another way.
func TestNoRunTimeoutMonotonic(t *testing.T) {
	const longest = math.MaxInt64
	for name, e := range endpoints() {
		t.Run(name, func(t *testing.T) {
			observe(t, e)
			e.RunTimeout, e.StoreTimeout, e.Lease, e.Keep = longest, longest, longest, longest
			out := e.Process(t.Context(), newEvent(t), succeed)
			require.NoError(t, out.Err)
			assert.Equal(t, geminihook.Processed, out.Result)
		})
	}
}

// TestHangingFunctions: each of the runs that hang is logged. Later attempts run
// beside them, because the lease is no longer renewed.
func TestHangingFunctions(t *testing.T) {
	for name, store := range map[string]geminihook.Store{
		"own memory": nil,
		"store":      &geminihook.MemoryStore{},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{Store: store}
				o := observe(t, e)
				var r runs
				leave := make(chan struct{})
				hang := r.count(func(context.Context, *geminihook.Event) error {
					<-leave
					return nil
				})
				for range 10 {
					go e.Process(t.Context(), newEvent(t), hang)
					letPass(20 * time.Minute) // the function is given up after a minute
				}
				assert.Equal(t, 10, r.of("msg_1"))
				assert.Equal(t, 10, countLines(o.log(), hangText))
				close(leave)
			})
		})
	}
}

// TestHangingAfterLeaseLost: a function that goes on although it was told that its
// lease is lost is logged, too.
func TestHangingAfterLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, _ := renewals(func(context.Context, int) error { return errStoreAway })
		e := &geminihook.Endpoint{Store: store}
		o := observe(t, e)
		e.Process(t.Context(), newEvent(t), func(ctx context.Context, _ *geminihook.Event) error {
			<-ctx.Done() // after 30 seconds
			letPass(4 * time.Second)
			assert.Zero(t, countLines(o.log(), hangText))
			letPass(2 * time.Second)
			assert.Equal(t, 1, countLines(o.log(), hangText))
			letPass(time.Hour)
			return nil
		})
		letPass(time.Hour)
		assert.Equal(t, 1, countLines(o.log(), hangText))
	})
}

// TestHangingLease: the lease is renewed until 5 seconds after the function's
// context has ended, and not after that.
func TestHangingLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, times := renewals(nil)
		e := &geminihook.Endpoint{Store: store, Lease: 6 * time.Second, RunTimeout: 9 * time.Second}
		observe(t, e)
		out := e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error {
			letPass(time.Hour)
			return nil
		})
		assert.Equal(t, atSeconds(2, 4, 6, 8, 10, 12), times.all())
		assert.Equal(t, geminihook.Processed, out.Result)
		require.NoError(t, out.Err, "no other has taken the key")
	})
}

// TestLateComplete: if another has taken the key of a function that hung, the
// outcome says so.
func TestLateComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &geminihook.Endpoint{Store: &geminihook.MemoryStore{}}
		o := observe(t, e)
		fn := func(context.Context, *geminihook.Event) error {
			letPass(10 * time.Minute)
			other := e.Process(t.Context(), newEvent(t), succeed)
			assert.Equal(t, geminihook.Processed, other.Result)
			return nil
		}
		out := e.Process(t.Context(), newEvent(t), fn)
		assert.Equal(t, geminihook.Processed, out.Result)
		require.ErrorIs(t, out.Err, geminihook.ErrLeaseLost)
		assert.Contains(t, o.log(), "the function may have run twice")
	})
}

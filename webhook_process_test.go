package geminihook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcess(t *testing.T) {
	fail := errors.New("disk full")
	for _, tt := range []struct {
		name    string
		err     error
		results []geminihook.Result // of two calls
		status  int                 // of the first
		runs    int
	}{
		{"succeeds", nil, []geminihook.Result{geminihook.Processed, geminihook.Duplicate}, 200, 1},
		{"fails", fail, []geminihook.Result{geminihook.Failed, geminihook.Failed}, 500, 2},
		{"fails for good", geminihook.Permanent(fail), []geminihook.Result{geminihook.Dropped, geminihook.Duplicate}, 200, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			for i, want := range tt.results {
				ev := newEvent(t)
				out := rc.Process(t.Context(), ev, rc.countRuns(func(ctx context.Context, got *geminihook.Event) error {
					assert.Same(t, ev, got)
					inContext, ok := geminihook.FromContext(ctx)
					assert.True(t, ok)
					assert.Same(t, ev, inContext)
					assert.Equal(t, i+1, ev.Attempt)
					return tt.err
				}))
				assert.Equal(t, want, out.Result)
				assert.Equal(t, "msg_1", out.ID)
				assert.Same(t, ev, out.Event)
				if i == 0 {
					assert.Equal(t, tt.status, out.Status)
					require.ErrorIs(t, out.Err, tt.err)
				}
				assert.Equal(t, out, rc.outcome(), "Observe is called with what Process returns")
				assert.Len(t, rc.outcomes, i+1, "once")
				assert.Equal(t, i+1, strings.Count(rc.log(), "\n"), "one line per call")
				assert.Contains(t, rc.log(), "result="+string(want))
			}
			assert.Equal(t, tt.runs, rc.runCount("msg_1"))
			assert.Contains(t, rc.log(), "webhook_id=msg_1 type=batch.succeeded")
		})
	}
}

func TestProcessConcurrently(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{})
	out := rc.Process(t.Context(), newEvent(t), func(ctx context.Context, _ *geminihook.Event) error {
		inner := rc.Process(ctx, newEvent(t), rc.countRuns(nil))
		assert.Equal(t, geminihook.Busy, inner.Result)
		assert.Equal(t, 503, inner.Status)
		assert.Positive(t, inner.RetryAfter)
		return nil
	})
	assert.Equal(t, geminihook.Processed, out.Result)
	assert.Zero(t, rc.runCount("msg_1"))
}

func TestProcessPanics(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{})
	assert.PanicsWithValue(t, "ouch", func() {
		rc.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error { panic("ouch") })
	})
	out := rc.outcome()
	assert.Equal(t, geminihook.Failed, out.Result)
	assert.Equal(t, "msg_1", out.ID)
	assert.Contains(t, rc.log(), "the function panicked")
	assert.Equal(t, geminihook.Processed, rc.Process(t.Context(), newEvent(t), rc.countRuns(nil)).Result, "released")
}

// TestDeadline: the function's context keeps the caller's deadline, drops its
// cancellation, and ends a little before the lease.
func TestDeadline(t *testing.T) {
	inTransaction := scriptedStore{transact: func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		return geminihook.Acquired, fn(ctx)
	}}
	for _, tt := range []struct {
		name     string
		deadline time.Duration // zero means none
		cancel   bool
		lease    time.Duration
		want     time.Duration
	}{
		{"none", 0, false, 0, 55 * time.Second},
		{"the caller's", time.Second, false, 0, time.Second},
		{"the caller's is later than the lease", time.Hour, false, 10 * time.Second, 9 * time.Second},
		{"canceled", 0, true, 0, 55 * time.Second},
		{"the caller's, and canceled", time.Second, true, 0, time.Second},
	} {
		for name, store := range map[string]geminihook.Store{"memory": nil, "transaction": inTransaction} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rc := record(t, &geminihook.Endpoint{Store: store, Lease: tt.lease})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if tt.deadline != 0 {
						var end context.CancelFunc
						ctx, end = context.WithTimeout(ctx, tt.deadline)
						defer end()
					}
					wait := func(ctx context.Context, _ *geminihook.Event) error {
						if tt.cancel {
							cancel()
							synctest.Wait()
							assert.NoError(t, ctx.Err())
						}
						<-ctx.Done()
						return ctx.Err()
					}
					start := time.Now()
					out := rc.Process(ctx, newEvent(t), wait)
					assert.Equal(t, tt.want, time.Since(start))
					require.ErrorIs(t, out.Err, context.DeadlineExceeded)
					assert.Equal(t, geminihook.Failed, out.Result)
				})
			})
		}
	}
	t.Run("of a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			h := rc.Handler(func(ctx context.Context, _ *geminihook.Event) error { <-ctx.Done(); return ctx.Err() })
			rc.startPipe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), time.Second)
				defer cancel()
				h.ServeHTTP(w, r.WithContext(ctx))
			}))
			start := time.Now()
			assert.Equal(t, 500, rc.send(t, newBatch()).status)
			assert.Equal(t, time.Second, time.Since(start))
		})
	})
}

// TestUnusableEndpoint: fields with which the endpoint would lose its promises
// are refused when it is first used.
func TestUnusableEndpoint(t *testing.T) {
	for _, tt := range []struct {
		name     string
		endpoint *geminihook.Endpoint
		want     string // empty if the endpoint is usable
	}{
		{"Keep of a second", &geminihook.Endpoint{Keep: time.Second}, "Endpoint.Keep is 1s, less than 10m0s, twice the tolerance"},
		{"Keep below twice the tolerance", &geminihook.Endpoint{Keep: 10*time.Minute - 1}, "could be replayed"},
		{"Keep of twice the tolerance", &geminihook.Endpoint{Keep: 10 * time.Minute}, ""},
		{"negative Keep", &geminihook.Endpoint{Keep: -1}, "negative"},
		{"negative Lease", &geminihook.Endpoint{Lease: -time.Minute}, "negative"},
		{"negative MaxBody", &geminihook.Endpoint{MaxBody: -1}, "negative"},
		{"negative ReadTimeout", &geminihook.Endpoint{ReadTimeout: -1}, "negative"},
		{"negative StoreTimeout", &geminihook.Endpoint{StoreTimeout: -1}, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &countingStore{Store: &geminihook.MemoryStore{}}
			tt.endpoint.Store = store
			rc := newReceiver(t, tt.endpoint, nil)
			d := newBatch()
			got := rc.send(t, d)
			out := rc.outcome()
			ev, err := rc.Receive(httptest.NewRecorder(), newBatch().Request("/"))
			processed := rc.Process(t.Context(), newEvent(t), rc.countRuns(nil))
			if tt.want == "" {
				assert.Equal(t, 200, got.status)
				require.NoError(t, err)
				assert.Equal(t, geminihook.Processed, processed.Result)
				return
			}
			assert.Equal(t, 500, got.status)
			assert.Equal(t, geminihook.Failed, out.Result)
			require.ErrorContains(t, out.Err, tt.want)
			assert.Nil(t, ev)
			require.ErrorContains(t, err, tt.want)
			assert.Equal(t, 500, geminihook.StatusCode(err))
			assert.Equal(t, 500, processed.Status)
			assert.Equal(t, geminihook.Failed, processed.Result)
			require.ErrorContains(t, processed.Err, tt.want)
			assert.Zero(t, rc.runCount(d.ID())+rc.runCount("msg_1"))
			assert.Zero(t, store.calls.Load())
		})
	}
}

// TestProcessWithoutID: events without an id, as ParseUnverified makes them,
// must not share a key, or all but the first would be lost.
func TestProcessWithoutID(t *testing.T) {
	for name, key := range map[string]func(context.Context, *geminihook.Event) string{"default key": nil, "ByJob": geminihook.ByJob} {
		t.Run(name, func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{Key: key})
			for _, body := range []string{`{"type":"batch.paused","data":{"id":"a"}}`, `{"type":"batch.paused","data":{"id":"b"}}`} {
				ev, err := geminihook.ParseUnverified([]byte(body))
				require.NoError(t, err)
				out := rc.Process(t.Context(), ev, rc.countRuns(nil))
				assert.Equal(t, geminihook.Unavailable, out.Result, "an empty key is never a key that events share")
				assert.Equal(t, 503, out.Status)
			}
		})
	}
}

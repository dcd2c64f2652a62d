package geminihook_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		results [2]geminihook.Result // of two calls
		status  int                  // of the first
		runs    int
	}{
		{"succeeds", nil, [2]geminihook.Result{geminihook.Processed, geminihook.Duplicate}, 200, 1},
		{"fails", errDisk, [2]geminihook.Result{geminihook.Failed, geminihook.Failed}, 500, 2},
		{"gives up", geminihook.Permanent(errDisk), [2]geminihook.Result{geminihook.Dropped, geminihook.Duplicate}, 200, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{}
			o := observe(t, e)
			e.Verifier = nil // which Process does not need
			var r runs
			for i, want := range tt.results {
				ev := newEvent(t)
				fn := func(ctx context.Context, got *geminihook.Event) error {
					inContext, ok := geminihook.FromContext(ctx)
					assert.True(t, ok)
					assert.Same(t, got, inContext)
					assert.Equal(t, i+1, got.Attempt)
					return tt.err
				}
				out := e.Process(t.Context(), ev, r.count(fn))
				assert.Equal(t, want, out.Result)
				assert.Equal(t, "msg_1", out.ID)
				assert.Equal(t, "msg_1", out.Event.ID)
				assert.Nil(t, out.Header)
				assert.Nil(t, out.Body)
				assert.Zero(t, ev.Attempt, "Process works on a copy")
				if i == 0 {
					assert.Equal(t, tt.status, out.Status)
					require.ErrorIs(t, out.Err, tt.err)
				}
				assert.Equal(t, out, o.next(), "Observe is called with what Process returns")
				assert.Equal(t, i+1, strings.Count(o.log(), "\n"), "one line per call")
				assert.Contains(t, o.log(), "result="+string(want))
			}
			assert.Equal(t, tt.runs, r.of("msg_1"))
		})
	}
}

// TestProcessOneEvent: the same *Event may be in several calls at once.
func TestProcessOneEvent(t *testing.T) {
	e := &geminihook.Endpoint{}
	observe(t, e)
	ev := newEvent(t)
	out := e.Process(t.Context(), ev, func(ctx context.Context, _ *geminihook.Event) error {
		inner := e.Process(ctx, ev, failWith(errors.New("must not run")))
		assert.Equal(t, geminihook.Busy, inner.Result)
		assert.Equal(t, 503, inner.Status)
		assert.Positive(t, inner.RetryAfter)
		return nil
	})
	assert.Equal(t, geminihook.Processed, out.Result)
}

func TestProcessPanics(t *testing.T) {
	e := &geminihook.Endpoint{}
	o := observe(t, e)
	assert.PanicsWithValue(t, "ouch", func() {
		e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error { panic("ouch") })
	})
	out := o.next()
	assert.Equal(t, geminihook.Failed, out.Result)
	assert.Equal(t, "msg_1", out.ID)
	assert.Contains(t, o.log(), "the function panicked")
	assert.Equal(t, geminihook.Processed, e.Process(t.Context(), newEvent(t), succeed).Result, "released")
}

// TestProcessWithoutID: events without an id, as ParseUnverified makes them, must
// not share a key, or all but the first would be lost.
func TestProcessWithoutID(t *testing.T) {
	for name, key := range map[string]func(context.Context, *geminihook.Event) (string, error){
		"default key": nil, "ByJob": geminihook.ByJob,
	} {
		t.Run(name, func(t *testing.T) {
			e := &geminihook.Endpoint{Key: key}
			observe(t, e)
			for _, body := range []string{
				`{"type":"batch.paused","data":{"id":"a"}}`, `{"type":"batch.paused","data":{"id":"b"}}`,
			} {
				ev, err := geminihook.ParseUnverified([]byte(body))
				require.NoError(t, err)
				out := e.Process(t.Context(), ev, failWith(errors.New("must not run")))
				assert.Equal(t, geminihook.Unavailable, out.Result)
				assert.Equal(t, 503, out.Status)
				require.ErrorIs(t, out.Err, geminihook.ErrUnavailable)
				assert.ErrorContains(t, out.Err, "the event has no ID")
			}
		})
	}
}

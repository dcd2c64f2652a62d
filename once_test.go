package geminihook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConcurrentDuplicates(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	rc := newReceiver(t, &geminihook.Endpoint{}, func(context.Context, *geminihook.Event) error {
		close(entered)
		<-leave
		return nil
	})
	d := newBatch()
	var first response
	var wg sync.WaitGroup
	wg.Go(func() { first = rc.send(t, d) })
	<-entered
	var others sync.WaitGroup
	for range 20 {
		others.Go(func() {
			got := rc.send(t, d)
			assert.Equal(t, 503, got.status, "never 2xx while the first may still crash")
			after, err := strconv.Atoi(got.header.Get("Retry-After"))
			assert.NoError(t, err)
			assert.Positive(t, after)
			assert.LessOrEqual(t, after, 30, "at most Lease")
		})
	}
	others.Wait()
	for range 20 {
		assert.ErrorIs(t, rc.next().Err, geminihook.ErrInProgress)
	}
	close(leave)
	wg.Wait()
	assert.Equal(t, 200, first.status)
	assert.Equal(t, geminihook.Processed, rc.next().Result)
	assert.Equal(t, 200, rc.send(t, d).status, "duplicate of a done event")
	assert.Equal(t, geminihook.Duplicate, rc.next().Result)
	assert.Equal(t, 1, rc.of(d.ID()))
}

func TestFailureThenRetry(t *testing.T) {
	var attempts []int
	fn := func(_ context.Context, ev *geminihook.Event) error {
		if attempts = append(attempts, ev.Attempt); ev.Attempt < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	rc := newReceiver(t, &geminihook.Endpoint{}, fn)
	d := newBatch()
	for _, want := range []int{500, 500, 200, 200} {
		assert.Equal(t, want, rc.send(t, d.Sign(time.Now())).status)
	}
	assert.Equal(t, []int{1, 2, 3}, attempts)
}

func TestPanic(t *testing.T) {
	for name, value := range map[string]any{
		"panic":           "ouch",
		"ErrAbortHandler": http.ErrAbortHandler,
	} {
		t.Run(name, func(t *testing.T) {
			fn := func(_ context.Context, ev *geminihook.Event) error {
				if ev.Attempt == 1 {
					panic(value)
				}
				return nil
			}
			rc := newReceiver(t, &geminihook.Endpoint{}, fn)
			d := newBatch()
			req, err := d.ClientRequest(rc.url)
			require.NoError(t, err)
			_, err = rc.client.Do(req)
			require.Error(t, err, "the panic goes on, and the server hangs up")
			out := rc.next()
			assert.Equal(t, geminihook.Failed, out.Result)
			assert.Equal(t, d.ID(), out.Event.ID)
			assert.Contains(t, rc.log(), "the function panicked")
			assert.Equal(t, 200, rc.send(t, d).status, "released at once, not when the lease ends")
			assert.Equal(t, 2, rc.of(d.ID()))
		})
	}
}

// TestGoexit: a function that ends its goroutine has failed.
func TestGoexit(t *testing.T) {
	e := &geminihook.Endpoint{Store: &geminihook.MemoryStore{}}
	o := observe(t, e)
	var wg sync.WaitGroup
	wg.Go(func() {
		e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error {
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	assert.Equal(t, geminihook.Failed, o.next().Result)
	assert.Equal(t, geminihook.Processed, e.Process(t.Context(), newEvent(t), succeed).Result, "released")
}

// TestPanicStatus has a server that sends the status even if there is a panic, as
// lambdaurl of aws-lambda-go does. Without a status it would send a 200.
func TestPanicStatus(t *testing.T) {
	e := &geminihook.Endpoint{}
	observe(t, e)
	handler := e.Handler(func(context.Context, *geminihook.Event) error { panic("ouch") })
	w := httptest.NewRecorder()
	assert.Panics(t, func() { handler.ServeHTTP(w, newBatch().Request("/")) })
	assert.Equal(t, http.StatusInternalServerError, w.Code)
}

func TestSenderHangsUp(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	var fnErr error
	fn := func(ctx context.Context, ev *geminihook.Event) error {
		close(entered)
		<-gone
		fnErr = ctx.Err()
		same, ok := geminihook.FromContext(ctx)
		assert.True(t, ok)
		assert.Same(t, ev, same)
		return nil
	}
	rc := newReceiver(t, &geminihook.Endpoint{}, fn)
	ctx, hangUp := context.WithCancel(t.Context())
	d := newBatch()
	req, err := d.ClientRequest(rc.url)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := rc.client.Do(req.WithContext(ctx))
		assert.ErrorIs(t, err, context.Canceled)
		close(gone)
	})
	<-entered
	hangUp()
	wg.Wait()
	assert.Equal(t, geminihook.Processed, rc.next().Result)
	require.NoError(t, fnErr)
	assert.Equal(t, 200, rc.send(t, d).status)
	assert.Equal(t, 1, rc.of(d.ID()))
}

// TestKeep: a handled event is remembered for Keep, from its completion on.
func TestKeep(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for name, tt := range map[string]struct{ keep, want time.Duration }{
		"default": {keep: 0, want: week},
		"an hour": {keep: time.Hour, want: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{Keep: tt.keep}
				observe(t, e)
				process := func() geminihook.Result {
					return e.Process(t.Context(), newEvent(t), succeed).Result
				}
				assert.Equal(t, geminihook.Processed, process())
				letPass(tt.want - time.Second)
				assert.Equal(t, geminihook.Duplicate, process())
				letPass(time.Second)
				assert.Equal(t, geminihook.Processed, process())
			})
		})
	}
}

// TestValues: the function's context has the request's values.
func TestValues(t *testing.T) {
	type key struct{}
	e := &geminihook.Endpoint{}
	observe(t, e)
	var got any
	h := e.Handler(func(ctx context.Context, _ *geminihook.Event) error {
		got = ctx.Value(key{})
		return nil
	})
	r := newBatch().Request("/")
	ctx := context.WithValue(r.Context(), key{}, "trace")
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
	assert.Equal(t, "trace", got)
}

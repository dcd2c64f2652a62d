package geminihook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
			assert.LessOrEqual(t, after, 60)
		})
	}
	others.Wait()
	for range 20 {
		assert.ErrorIs(t, rc.outcome().Err, geminihook.ErrInProgress)
	}
	close(leave)
	wg.Wait()
	assert.Equal(t, 200, first.status)
	assert.Equal(t, geminihook.Processed, rc.outcome().Result)
	assert.Equal(t, 200, rc.send(t, d).status, "duplicate of a done event")
	assert.Equal(t, geminihook.Duplicate, rc.outcome().Result)
	assert.Equal(t, 1, rc.runCount(d.ID()))
}

func TestFailureThenRetry(t *testing.T) {
	var attempts []int
	rc := newReceiver(t, &geminihook.Endpoint{}, func(_ context.Context, ev *geminihook.Event) error {
		if attempts = append(attempts, ev.Attempt); ev.Attempt < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	d := newBatch()
	for _, want := range []int{500, 500, 200, 200} {
		assert.Equal(t, want, rc.send(t, d.Sign(time.Now(), signer)).status)
	}
	assert.Equal(t, []int{1, 2, 3}, attempts)
}

func TestPanic(t *testing.T) {
	for name, leave := range map[string]func(){
		"panic":           func() { panic("ouch") },
		"ErrAbortHandler": func() { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{}, func(_ context.Context, ev *geminihook.Event) error {
				if ev.Attempt == 1 {
					leave()
				}
				return nil
			})
			d := newBatch()
			req, err := d.ClientRequest(rc.url)
			require.NoError(t, err)
			_, err = rc.client.Do(req)
			require.Error(t, err, "the panic goes on, and the server hangs up")
			out := rc.outcome()
			assert.Equal(t, geminihook.Failed, out.Result)
			assert.Equal(t, d.ID(), out.Event.ID)
			assert.Contains(t, rc.log(), "the function panicked")
			assert.Equal(t, 200, rc.send(t, d).status, "released at once, not when the lease ends")
			assert.Equal(t, 2, rc.runCount(d.ID()))
		})
	}
}

// TestPanicStatus has a server that sends the status even if there is a panic, as
// lambdaurl of aws-lambda-go does. Without a status it would send a 200.
func TestPanicStatus(t *testing.T) {
	handler := record(t, &geminihook.Endpoint{}).Handler(func(context.Context, *geminihook.Event) error { panic("ouch") })
	w := httptest.NewRecorder()
	assert.Panics(t, func() { handler.ServeHTTP(w, newBatch().Request("/")) })
	assert.Equal(t, http.StatusInternalServerError, w.Code)
}

func TestSenderHangsUp(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	var fnErr error
	rc := newReceiver(t, &geminihook.Endpoint{}, func(ctx context.Context, ev *geminihook.Event) error {
		close(entered)
		<-gone
		fnErr = ctx.Err()
		same, ok := geminihook.FromContext(ctx)
		assert.True(t, ok)
		assert.Same(t, ev, same)
		return nil
	})
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
	assert.Equal(t, geminihook.Processed, rc.outcome().Result)
	require.NoError(t, fnErr)
	assert.Equal(t, 200, rc.send(t, d).status)
	assert.Equal(t, 1, rc.runCount(d.ID()))
}

// TestLease: the function's context ends within the lease. If a run ignores it,
// another one takes over, and the outcome of the first says so.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &geminihook.Endpoint{Lease: 20 * time.Second}
		stuck := make(chan struct{})
		deadline := make(chan time.Duration, 1)
		rc := newPipeReceiver(t, e, func(ctx context.Context, ev *geminihook.Event) error {
			if ev.Attempt == 1 {
				start := time.Now()
				<-ctx.Done()
				deadline <- time.Since(start)
				<-stuck // ignores its deadline
			}
			return nil
		})
		d := newBatch()
		var wg sync.WaitGroup
		var late response
		wg.Go(func() { late = rc.send(t, d) })
		letPass(19 * time.Second)
		got := rc.send(t, d)
		assert.Equal(t, 503, got.status)
		assert.Equal(t, "1", got.header.Get("Retry-After"), "the remainder of the lease")
		assert.Equal(t, 18*time.Second, <-deadline)
		letPass(time.Second)
		assert.Equal(t, 200, rc.send(t, d).status, "taken over when the lease has expired")
		rc.outcome()
		rc.outcome() // of both, because they come after the responses
		close(stuck)
		wg.Wait()
		assert.Equal(t, 200, late.status)
		out := rc.outcome()
		assert.Equal(t, geminihook.Processed, out.Result)
		require.ErrorIs(t, out.Err, geminihook.ErrLeaseLost)
		assert.Contains(t, rc.log(), "the function may have run twice")
		assert.Equal(t, 2, rc.runCount(d.ID()))
	})
}

// TestLateComplete: a run that outlasts its lease still completes if no other
// has taken over.
func TestLateComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newPipeReceiver(t, &geminihook.Endpoint{Lease: time.Second}, func(context.Context, *geminihook.Event) error {
			letPass(time.Minute)
			return nil
		})
		d := newBatch()
		assert.Equal(t, 200, rc.send(t, d).status)
		assert.NoError(t, rc.outcome().Err)
		assert.Equal(t, 200, rc.send(t, d).status)
		assert.Equal(t, 1, rc.runCount(d.ID()))
	})
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newPipeReceiver(t, &geminihook.Endpoint{}, nil)
		d := newBatch()
		assert.Equal(t, 200, rc.send(t, d).status)
		letPass(geminihook.DefaultKeep - time.Second)
		assert.Equal(t, 200, rc.send(t, d.Sign(time.Now(), signer)).status)
		assert.Equal(t, 1, rc.runCount(d.ID()))
		letPass(time.Second)
		assert.Equal(t, 200, rc.send(t, d.Sign(time.Now(), signer)).status)
		assert.Equal(t, 2, rc.runCount(d.ID()))
	})
}

func prefixed(prefix string) func(context.Context, *geminihook.Event) string {
	return func(_ context.Context, ev *geminihook.Event) string { return prefix + ev.ID }
}

func TestKeyNamesTheEndpoint(t *testing.T) {
	store := &geminihook.MemoryStore{}
	one := newReceiver(t, &geminihook.Endpoint{Store: store, Key: prefixed("one:")}, nil)
	two := newReceiver(t, &geminihook.Endpoint{Store: store, Key: prefixed("two:")}, nil)
	d := newBatch()
	assert.Equal(t, 200, one.send(t, d).status)
	assert.Equal(t, 200, two.send(t, d).status)
	assert.Equal(t, 200, two.send(t, d).status)
	assert.Equal(t, 1, one.runCount(d.ID()))
	assert.Equal(t, 1, two.runCount(d.ID()))
}

package geminihook_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func batch() *webhooktest.Delivery { return webhooktest.New(geminihook.EventBatchSucceeded, signer) }

func TestConcurrentDuplicates(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	rc := serve(t, &geminihook.Endpoint{}, func(context.Context, *geminihook.Event) error {
		close(entered)
		<-leave
		return nil
	})
	d := batch()
	var first answer
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
	close(leave)
	wg.Wait()
	assert.Equal(t, 200, first.status)
	assert.Equal(t, 200, rc.send(t, d).status, "duplicate of a done event")
	for range 22 {
		rc.outcome()
	}
	assert.Equal(t, geminihook.Duplicate, rc.outcomes[21].Result)
	assert.ErrorIs(t, rc.outcomes[0].Err, geminihook.ErrInProgress)
	assert.Equal(t, 1, rc.ran(d.ID()))
}

func TestFailureThenRetry(t *testing.T) {
	var attempts []int
	rc := serve(t, &geminihook.Endpoint{}, func(_ context.Context, ev *geminihook.Event) error {
		if attempts = append(attempts, ev.Attempt); ev.Attempt < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	d := batch()
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
			rc := serve(t, &geminihook.Endpoint{}, func(_ context.Context, ev *geminihook.Event) error {
				if ev.Attempt == 1 {
					leave()
				}
				return nil
			})
			d := batch()
			req, err := d.ClientRequest(rc.url)
			require.NoError(t, err)
			_, err = rc.client.Do(req)
			require.Error(t, err, "the panic goes on, and the server hangs up")
			out := rc.outcome()
			assert.Equal(t, geminihook.Failed, out.Result)
			assert.Equal(t, d.ID(), out.Event.ID)
			assert.Contains(t, rc.log(), "the function panicked")
			assert.Equal(t, 200, rc.send(t, d).status, "released at once, not when the lease ends")
			assert.Equal(t, 2, rc.ran(d.ID()))
		})
	}
}

func TestSenderHangsUp(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	var fnErr error
	rc := serve(t, &geminihook.Endpoint{}, func(ctx context.Context, ev *geminihook.Event) error {
		close(entered)
		<-gone
		fnErr = ctx.Err()
		same, ok := geminihook.FromContext(ctx)
		assert.True(t, ok)
		assert.Same(t, ev, same)
		return nil
	})
	ctx, hangUp := context.WithCancel(t.Context())
	d := batch()
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
	assert.Equal(t, 1, rc.ran(d.ID()))
}

// TestSenderHangsUpInTheBody: nothing is claimed, and the next attempt runs.
func TestSenderHangsUpInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := fill(t, &geminihook.Endpoint{ReadTimeout: time.Second})
		rc.listenPipe(t, rc.Handler(rc.counted(nil)))
		d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
		req, err := d.ClientRequest(rc.url)
		require.NoError(t, err)
		body, feed := newFeed(d.Body[:10])
		req.Body, req.ContentLength = body, int64(len(d.Body))
		start := time.Now()
		resp, err := rc.client.Do(req)
		if err == nil {
			resp.Body.Close()
			assert.Equal(t, 400, resp.StatusCode)
		}
		out := rc.outcome()
		feed()
		assert.ErrorIs(t, out.Err, geminihook.ErrPayload)
		assert.Equal(t, time.Second, time.Since(start), "ReadTimeout ends the wait for a slow body")
		assert.Equal(t, 200, rc.send(t, d).status)
		assert.Equal(t, 1, rc.ran(d.ID()))
	})
}

// TestLease: the function's context ends inside the lease; a run that ignores
// it is taken over, and its late end is told.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &geminihook.Endpoint{Lease: 20 * time.Second}
		rc := fill(t, e)
		stuck := make(chan struct{})
		deadline := make(chan time.Duration, 1)
		rc.listenPipe(t, rc.Handler(rc.counted(func(ctx context.Context, ev *geminihook.Event) error {
			if ev.Attempt == 1 {
				start := time.Now()
				<-ctx.Done()
				deadline <- time.Since(start)
				<-stuck // ignores its deadline
			}
			return nil
		})))
		d := batch()
		var wg sync.WaitGroup
		var late answer
		wg.Go(func() { late = rc.send(t, d) })
		pass(19 * time.Second)
		got := rc.send(t, d)
		assert.Equal(t, 503, got.status)
		assert.Equal(t, "1", got.header.Get("Retry-After"), "what is left of the lease")
		assert.Equal(t, 18*time.Second, <-deadline)
		pass(time.Second)
		assert.Equal(t, 200, rc.send(t, d).status, "taken over when the lease is over")
		close(stuck)
		wg.Wait()
		assert.Equal(t, 200, late.status)
		rc.outcome()
		rc.outcome()
		out := rc.outcome()
		assert.Equal(t, geminihook.Processed, out.Result)
		require.ErrorIs(t, out.Err, geminihook.ErrLeaseLost)
		assert.Contains(t, rc.log(), "the function may have run twice")
		assert.Equal(t, 2, rc.ran(d.ID()))
	})
}

// TestLateComplete: a run that outlasts its lease, with nobody to take over, is
// done all the same.
func TestLateComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := fill(t, &geminihook.Endpoint{Lease: time.Second})
		rc.listenPipe(t, rc.Handler(rc.counted(func(context.Context, *geminihook.Event) error {
			pass(time.Minute)
			return nil
		})))
		d := batch()
		assert.Equal(t, 200, rc.send(t, d).status)
		assert.NoError(t, rc.outcome().Err)
		assert.Equal(t, 200, rc.send(t, d).status)
		assert.Equal(t, 1, rc.ran(d.ID()))
	})
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := fill(t, &geminihook.Endpoint{})
		rc.listenPipe(t, rc.Handler(rc.counted(nil)))
		d := batch()
		assert.Equal(t, 200, rc.send(t, d).status)
		pass(geminihook.DefaultKeep - time.Second)
		assert.Equal(t, 200, rc.send(t, d.Sign(time.Now(), signer)).status)
		assert.Equal(t, 1, rc.ran(d.ID()))
		pass(time.Second)
		assert.Equal(t, 200, rc.send(t, d.Sign(time.Now(), signer)).status)
		assert.Equal(t, 2, rc.ran(d.ID()))
	})
}

func prefixed(prefix string) func(context.Context, *geminihook.Event) string {
	return func(_ context.Context, ev *geminihook.Event) string { return prefix + ev.ID }
}

func TestKeyNamesTheEndpoint(t *testing.T) {
	store := &geminihook.MemoryStore{}
	one := serve(t, &geminihook.Endpoint{Store: store, Key: prefixed("one:")}, nil)
	two := serve(t, &geminihook.Endpoint{Store: store, Key: prefixed("two:")}, nil)
	d := batch()
	assert.Equal(t, 200, one.send(t, d).status)
	assert.Equal(t, 200, two.send(t, d).status)
	assert.Equal(t, 200, two.send(t, d).status)
	assert.Equal(t, 1, one.ran(d.ID()))
	assert.Equal(t, 1, two.ran(d.ID()))
}

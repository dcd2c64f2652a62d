package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTransact(t *testing.T) {
	fail := errors.New("no such customer")
	acquired := func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		return geminihook.Acquired, fn(ctx)
	}
	respondWith := func(state geminihook.State, err error) func(context.Context, func(context.Context) error) (geminihook.State, error) {
		return func(context.Context, func(context.Context) error) (geminihook.State, error) { return state, err }
	}
	for _, tt := range []struct {
		name     string
		transact func(context.Context, func(context.Context) error) (geminihook.State, error)
		fnErr    error
		status   int
		result   geminihook.Result
		err      error
		runs     int
	}{
		{name: "committed", transact: acquired, status: 200, result: geminihook.Processed, runs: 1},
		{name: "function fails", transact: acquired, fnErr: fail, status: 500, result: geminihook.Failed, err: fail, runs: 1},
		{name: "permanent", transact: acquired, fnErr: geminihook.Permanent(fail), status: 200, result: geminihook.Dropped, err: fail, runs: 1},
		{
			name: "commit fails", status: 503, result: geminihook.Unavailable, err: geminihook.ErrStore, runs: 1,
			transact: func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
				_ = fn(ctx)
				return geminihook.Acquired, fmt.Errorf("%w: commit: connection reset", geminihook.ErrStore)
			},
		},
		{
			name: "permanent, and the mark is not committed", fnErr: geminihook.Permanent(fail), status: 503,
			result: geminihook.Unavailable, err: geminihook.ErrStore, runs: 1,
			transact: func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
				return geminihook.Acquired, errors.Join(fn(ctx), geminihook.ErrStore)
			},
		},
		{name: "done", transact: respondWith(geminihook.Done, nil), status: 200, result: geminihook.Duplicate},
		{name: "in progress", transact: respondWith(geminihook.InProgress, nil), status: 503, result: geminihook.Busy, err: geminihook.ErrInProgress},
		{name: "begin fails", transact: respondWith(0, errStoreAway), status: 503, result: geminihook.Unavailable, err: errStoreAway},
		{name: "done with an error", transact: respondWith(geminihook.Done, errStoreAway), status: 503, result: geminihook.Unavailable, err: geminihook.ErrStore},
		{name: "zero state", transact: respondWith(0, nil), status: 503, result: geminihook.Unavailable, err: geminihook.ErrStore},
		{name: "says acquired, did not run", transact: respondWith(geminihook.Acquired, nil), status: 503, result: geminihook.Unavailable, err: geminihook.ErrStore},
		{
			name: "loses the function's error", fnErr: fail, status: 500, result: geminihook.Failed, err: fail, runs: 1,
			transact: func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
				_ = fn(ctx)
				return geminihook.Acquired, nil
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{Store: scriptedStore{transact: tt.transact}}, func(ctx context.Context, ev *geminihook.Event) error {
				same, ok := geminihook.FromContext(ctx)
				assert.True(t, ok)
				assert.Same(t, ev, same)
				_, ok = ctx.Deadline()
				assert.True(t, ok)
				assert.Zero(t, ev.Attempt, "a Transactor keeps no count")
				return tt.fnErr
			})
			d := newBatch()
			got := rc.send(t, d)
			out := rc.outcome()
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.result, out.Result)
			require.ErrorIs(t, out.Err, tt.err)
			assert.Equal(t, tt.status == 503, got.header.Get("Retry-After") != "")
			assert.Equal(t, tt.runs, rc.runCount(d.ID()))
		})
	}
}

// TestTransactHangs: the store's own work is bounded, before and after the
// function, and the function's time is not counted.
func TestTransactHangs(t *testing.T) {
	wait := func(ctx context.Context) (geminihook.State, error) {
		<-ctx.Done()
		return geminihook.Acquired, fmt.Errorf("%w: %w", geminihook.ErrStore, ctx.Err())
	}
	for name, transact := range map[string]func(context.Context, func(context.Context) error) (geminihook.State, error){
		"at the beginning": func(ctx context.Context, _ func(context.Context) error) (geminihook.State, error) {
			return wait(ctx)
		},
		"begins too late": func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
			<-ctx.Done()
			return geminihook.Acquired, fn(ctx)
		},
		"at the commit": func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
			_ = fn(ctx)
			return wait(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const work = 30 * time.Second
				rc := newPipeReceiver(t, &geminihook.Endpoint{Store: scriptedStore{transact: transact}}, func(ctx context.Context, _ *geminihook.Event) error {
					letPass(work)
					return ctx.Err()
				})
				d, start := newBatch(), time.Now()
				assert.Equal(t, 503, rc.send(t, d).status)
				want := geminihook.DefaultLease / 2
				if name == "at the commit" {
					want = work + geminihook.DefaultStoreTimeout
				}
				assert.Equal(t, want, time.Since(start))
				assert.Equal(t, name == "at the commit", rc.runCount(d.ID()) == 1)
			})
		})
	}
}

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

// returning is a Transactor that does not run the function.
func returning(state geminihook.State, err error) scriptedTransactor {
	return func(context.Context, func(context.Context) error) (geminihook.State, error) {
		return state, err
	}
}

// afterRun is a Transactor that runs the function and then returns what end makes
// of its error.
func afterRun(state geminihook.State, end func(fnErr error) error) scriptedTransactor {
	return func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		return state, end(fn(ctx))
	}
}

// TestTransact: what the endpoint makes of what a Transactor returns.
func TestTransact(t *testing.T) {
	keep := func(fnErr error) error { return fnErr }
	lose := func(error) error { return nil }
	commitFails := func(error) error {
		return fmt.Errorf("%w: connection reset", geminihook.ErrStore)
	}
	joinStore := func(fnErr error) error { return errors.Join(fnErr, geminihook.ErrStore) }
	permanent := geminihook.Permanent(errDisk)
	for _, tt := range []struct {
		name       string
		transactor scriptedTransactor
		fnErr      error
		result     geminihook.Result
		err        error
	}{
		{"committed", afterRun(geminihook.Acquired, keep), nil, geminihook.Processed, nil},
		{"function fails", afterRun(geminihook.Acquired, keep), errDisk, geminihook.Failed, errDisk},
		{"Permanent", afterRun(geminihook.Acquired, keep), permanent, geminihook.Dropped, errDisk},
		{"commit fails", afterRun(geminihook.Acquired, commitFails), nil, geminihook.Unavailable, geminihook.ErrStore},
		{"mark of a Permanent fails", afterRun(geminihook.Acquired, joinStore), permanent, geminihook.Unavailable, errDisk},
		{"error is lost", afterRun(geminihook.Acquired, lose), errDisk, geminihook.Failed, errDisk},
		{"ran, and says done", afterRun(geminihook.Done, lose), nil, geminihook.Unavailable, geminihook.ErrStore},
		{"ran, and says in progress", afterRun(geminihook.InProgress, lose), nil, geminihook.Unavailable, geminihook.ErrStore},
		{"ran, and has no state", afterRun(0, lose), nil, geminihook.Unavailable, geminihook.ErrStore},
		{"done", returning(geminihook.Done, nil), nil, geminihook.Duplicate, nil},
		{"in progress", returning(geminihook.InProgress, nil), nil, geminihook.Busy, geminihook.ErrInProgress},
		{"begin fails", returning(0, errStoreAway), nil, geminihook.Unavailable, errStoreAway},
		{"done with an error", returning(geminihook.Done, errStoreAway), nil, geminihook.Unavailable, geminihook.ErrStore},
		{"Permanent without a run", returning(0, permanent), nil, geminihook.Unavailable, errDisk},
		{"zero state", returning(0, nil), nil, geminihook.Unavailable, geminihook.ErrStore},
		{"acquired, did not run", returning(geminihook.Acquired, nil), nil, geminihook.Unavailable, geminihook.ErrStore},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{Transactor: tt.transactor}
			rc := newReceiver(t, e, func(ctx context.Context, ev *geminihook.Event) error {
				same, ok := geminihook.FromContext(ctx)
				assert.True(t, ok)
				assert.Same(t, ev, same)
				assert.Zero(t, ev.Attempt, "a Transactor keeps no count")
				return tt.fnErr
			})
			got := rc.send(t, newBatch())
			out := rc.next()
			assert.Equal(t, tt.result, out.Result)
			assert.Equal(t, statusOf(tt.result), got.status)
			assert.Equal(t, got.status == 503, got.header.Get("Retry-After") != "")
			require.ErrorIs(t, out.Err, tt.err)
			assert.NotContains(t, rc.log(), "%!", "the reason is complete")
		})
	}
}

// statusOf returns the response of a result.
func statusOf(result geminihook.Result) int {
	switch result {
	case geminihook.Failed:
		return 500
	case geminihook.Busy, geminihook.Unavailable:
		return 503
	}
	return 200
}

// TestTransactPhases: the store may take RunTimeout to begin, the function then has
// RunTimeout, and the store StoreTimeout to end.
func TestTransactPhases(t *testing.T) {
	await := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", geminihook.ErrStore, ctx.Err())
	}
	const most = 2*time.Minute + 3*time.Second
	for _, tt := range []struct {
		name   string
		begin  time.Duration // that the store takes; negative means forever
		run    time.Duration
		end    time.Duration // that the store takes; negative means forever
		result geminihook.Result
	}{
		{"quick", 0, 0, 0, geminihook.Processed},
		{"slow in all", 59 * time.Second, 59 * time.Second, 2 * time.Second, geminihook.Processed},
		{"never begins", -1, 0, 0, geminihook.Unavailable},
		{"begins too late", 61 * time.Second, 0, 0, geminihook.Unavailable},
		{"runs too long", 59 * time.Second, time.Hour, 0, geminihook.Failed},
		{"never ends", time.Second, 59 * time.Second, -1, geminihook.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var end time.Duration
				transact := func(
					ctx context.Context, fn func(context.Context) error,
				) (geminihook.State, error) {
					deadline, ok := ctx.Deadline()
					assert.True(t, ok)
					assert.Equal(t, most, time.Until(deadline), "it bounds the whole call")
					if tt.begin < 0 {
						return geminihook.Acquired, await(ctx)
					}
					letPass(tt.begin)
					err := fn(ctx)
					start := time.Now()
					defer func() { end = time.Since(start) }()
					if tt.end < 0 {
						return geminihook.Acquired, await(ctx)
					}
					letPass(tt.end)
					return geminihook.Acquired, errors.Join(err, ctx.Err())
				}
				e := &geminihook.Endpoint{Transactor: scriptedTransactor(transact)}
				observe(t, e)
				var r runs
				start := time.Now()
				out := e.Process(t.Context(), newEvent(t), r.count(work(tt.run)))
				assert.Equal(t, tt.result, out.Result)
				assert.LessOrEqual(t, time.Since(start), most)
				switch tt.name {
				case "never begins":
					assert.Equal(t, time.Minute, time.Since(start))
					assert.ErrorContains(t, out.Err, "did not begin within RunTimeout (1m0s)")
				case "begins too late":
					assert.Zero(t, r.of("msg_1"))
					assert.ErrorContains(t, out.Err, "did not begin within RunTimeout (1m0s)")
				case "never ends":
					assert.Equal(t, 3*time.Second, end)
					assert.ErrorContains(t, out.Err, "did not end within StoreTimeout (3s)")
				}
			})
		})
	}
}

// TestTransactPanics: the panic reaches the store, which rolls back, and goes on.
func TestTransactPanics(t *testing.T) {
	rolledBack := false
	transact := func(
		ctx context.Context, fn func(context.Context) error,
	) (geminihook.State, error) {
		committed := false
		defer func() { rolledBack = !committed }()
		err := fn(ctx)
		committed = true
		return geminihook.Acquired, err
	}
	e := &geminihook.Endpoint{Transactor: scriptedTransactor(transact)}
	o := observe(t, e)
	assert.PanicsWithValue(t, "ouch", func() {
		e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error { panic("ouch") })
	})
	assert.True(t, rolledBack)
	assert.Equal(t, geminihook.Failed, o.next().Result)
}

package geminihook_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTransactBeginsTooLate: the function does not run, even if the store passes a
// context that has not ended, or one that has ended for another reason.
func TestTransactBeginsTooLate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		begin   time.Duration
		context func(ctx context.Context) context.Context
	}{
		{"a context without end", 61 * time.Second, context.WithoutCancel},
		{"a context that has ended", 0, func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transact := func(
					ctx context.Context, fn func(context.Context) error,
				) (geminihook.State, error) {
					letPass(tt.begin)
					return geminihook.Acquired, fn(tt.context(ctx))
				}
				e := &geminihook.Endpoint{Transactor: scriptedTransactor(transact)}
				observe(t, e)
				var r runs
				out := e.Process(t.Context(), newEvent(t), r.count(succeed))
				assert.Zero(t, r.of("msg_1"))
				assert.Equal(t, geminihook.Unavailable, out.Result)
				require.ErrorContains(t, out.Err, "the transaction began too late")
			})
		})
	}
}

// TestTransactSwallowsPanic: even if the store recovers, nothing was handled.
func TestTransactSwallowsPanic(t *testing.T) {
	swallow := func(
		ctx context.Context, fn func(context.Context) error,
	) (geminihook.State, error) {
		ended := make(chan error)
		go func() {
			defer close(ended)
			defer func() { _ = recover() }()
			_ = fn(ctx)
		}()
		return geminihook.Acquired, <-ended
	}
	for name, end := range map[string]func(){
		"panic":  func() { panic("ouch") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			e := &geminihook.Endpoint{Transactor: scriptedTransactor(swallow)}
			observe(t, e)
			fn := func(context.Context, *geminihook.Event) error {
				end()
				return nil
			}
			out := e.Process(t.Context(), newEvent(t), fn)
			assert.Equal(t, geminihook.Failed, out.Result)
			require.ErrorContains(t, out.Err, "the function panicked")
		})
	}
}

// TestTransactDoesNotWait: if the store returns while the function runs, for example
// because its context has ended, the event is not handled, whatever the store says.
func TestTransactDoesNotWait(t *testing.T) {
	for name, err := range map[string]error{
		"without an error": nil,
		"with an error":    errStoreAway,
		"Permanent":        geminihook.Permanent(errDisk),
	} {
		t.Run(name, func(t *testing.T) {
			started, leave := make(chan struct{}), make(chan struct{})
			transact := func(
				ctx context.Context, fn func(context.Context) error,
			) (geminihook.State, error) {
				go func() { _ = fn(ctx) }()
				<-started
				return geminihook.Acquired, err
			}
			e := &geminihook.Endpoint{Transactor: scriptedTransactor(transact)}
			observe(t, e)
			fn := func(context.Context, *geminihook.Event) error {
				close(started)
				<-leave
				return nil
			}
			out := e.Process(t.Context(), newEvent(t), fn)
			close(leave)
			assert.Equal(t, geminihook.Unavailable, out.Result)
			require.ErrorIs(t, out.Err, geminihook.ErrStore)
			require.ErrorContains(t, out.Err, "returned before the function did")
		})
	}
}

// TestTransactRepeats: a store may run the function again after a conflict. The last
// run counts, and is watched as the first one is.
func TestTransactRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transact := func(
			ctx context.Context, fn func(context.Context) error,
		) (geminihook.State, error) {
			_ = fn(ctx)
			return geminihook.Acquired, fn(ctx)
		}
		e := &geminihook.Endpoint{Transactor: scriptedTransactor(transact)}
		o := observe(t, e)
		run := 0
		out := e.Process(t.Context(), newEvent(t), func(context.Context, *geminihook.Event) error {
			run++
			if run == 1 {
				return errDisk
			}
			letPass(66 * time.Second)
			assert.Equal(t, 1, countLines(o.log(), hangText))
			return nil
		})
		assert.Equal(t, geminihook.Processed, out.Result)
	})
}

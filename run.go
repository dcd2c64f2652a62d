package geminihook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// grace is how long the function may take to return after its context has ended.
const grace = 5 * time.Second

// run is one attempt to run the program's function for an event.
type run struct {
	event    *Event
	fn       func(context.Context, *Event) error
	key      string    // the event's key in the store
	deadline time.Time // the request's deadline; zero if it has none

	runTimeout, storeTimeout time.Duration
	keep                     time.Duration
	logger                   *slog.Logger // nil means slog.Default()

	returned atomic.Bool // whether the function has returned or panicked
}

// ends returns the time at which the function's context ends if it is called now.
func (r *run) ends(now time.Time) time.Time {
	end := now.Add(r.runTimeout)
	if r.deadline.IsZero() {
		return end
	}
	return earlier(end, r.deadline)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// call calls the function with a context that ends at the given time. If the
// context had ended when the function failed, the error also says why.
func (r *run) call(ctx context.Context, end time.Time) error {
	var cause error = runTimeoutError(r.runTimeout)
	if end.Equal(r.deadline) {
		cause = errDeadline
	}
	ctx, cancel := context.WithDeadlineCause(ctx, end, cause)
	defer cancel()
	defer r.returned.Store(true)
	err := r.fn(ctx, r.event)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return err
}

// callWatched calls the function now, as call does, and logs a warning if it hangs. A
// Transactor may call it again, for example after a conflict with another transaction.
func (r *run) callWatched(ctx context.Context) error {
	r.returned.Store(false)
	now := time.Now()
	end := r.ends(now)
	hang := time.AfterFunc(end.Add(grace).Sub(now), func() { r.hangs(ctx) })
	defer hang.Stop()
	return r.call(ctx, end)
}

// hangs logs a warning if the function has not returned. It is called when the
// grace has passed since the function's context ended.
func (r *run) hangs(ctx context.Context) {
	if !r.returned.Load() {
		r.warn(ctx, "gemini webhook: the function has not returned, although its context has ended: "+
			"another attempt may run beside it", nil)
	}
}

// warn logs a warning about a run that has not ended, with a reason unless it is nil.
func (r *run) warn(ctx context.Context, message string, reason error) {
	attrs := eventAttrs(r.event)
	if reason != nil {
		attrs = append(attrs, slog.String("reason", reason.Error()))
	}
	cmp.Or(r.logger, slog.Default()).LogAttrs(ctx, slog.LevelWarn, message, attrs...)
}

// runTimeoutError is the cause of the end of a context after RunTimeout.
type runTimeoutError time.Duration

func (d runTimeoutError) Error() string {
	return fmt.Sprintf("the run took longer than RunTimeout (%v)", time.Duration(d))
}

func (runTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

var errDeadline = fmt.Errorf("the deadline of the request passed: %w", context.DeadlineExceeded)

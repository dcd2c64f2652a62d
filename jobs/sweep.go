package jobs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

// ask asks about one job and hands its end to the program's function.
func (c *CatchUp) ask(ctx context.Context, job Job, t *tally) {
	if c.young(job.Created) {
		t.add(func(s *Summary) { s.Young++ })
		return
	}
	ev, known, st, err := c.read(ctx, job)
	switch {
	case err != nil && ctx.Err() != nil:
		// The sweep ends. The error says nothing about the job.
	case err != nil:
		t.add(func(s *Summary) { s.Unreadable++ })
		c.logger().LogAttrs(ctx, slog.LevelWarn, "gemini job unreadable",
			slog.String("job", job.ID), slog.String("kind", string(job.Kind)),
			slog.String("reason", err.Error()))
	case st.phase != ended:
		t.add(func(s *Summary) {
			s.Running++
			if st.phase == needsAction {
				s.NeedsAction++
			}
		})
	case c.young(st.at):
		t.add(func(s *Summary) { s.Young++ })
	default:
		t.add(func(s *Summary) { s.Ended++ })
		result := c.process(context.WithValue(ctx, fetchedKey{}, known), ev)
		t.add(func(s *Summary) { s.count(result) })
	}
}

// young reports whether at is less than Grace ago. A time in the future, which is
// possible if two clocks differ, is not young, because it could stay so for long.
func (c *CatchUp) young(at time.Time) bool {
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	age := now().Sub(at)
	return age >= 0 && age < cmp.Or(c.Grace, 5*time.Minute)
}

// read asks the API for the job's state. The event is nil if the job has not ended.
func (c *CatchUp) read(ctx context.Context, job Job) (*geminihook.Event, fetched, state, error) {
	known := fetched{kind: job.Kind}
	var err error
	if known.name, err = nameOf(job.Kind, job.ID); err != nil {
		return nil, known, state{}, err
	}
	err = c.gate.do(ctx, func(ctx context.Context) (err error) {
		known.result, err = c.client.get(ctx, known.kind, known.name)
		return err
	})
	if err != nil {
		return nil, known, state{}, err
	}
	st, err := stateOf(known.name, known.result)
	if err != nil || st.phase != ended {
		return nil, known, st, err
	}
	ev, err := st.event()
	return ev, known, st, err
}

// process calls Endpoint.Process. It recovers from a panic of the function, as
// net/http does.
func (c *CatchUp) process(ctx context.Context, ev *geminihook.Event) (result geminihook.Result) {
	defer func() {
		if p := recover(); p != nil {
			result = geminihook.Failed
			stack := string(debug.Stack())
			c.logger().LogAttrs(ctx, slog.LevelError, "gemini job: the function panicked",
				slog.String("webhook_id", ev.ID), slog.String("panic", fmt.Sprint(p)),
				slog.String("stack", stack))
		}
	}()
	return c.Endpoint.Process(ctx, ev, c.Handle).Result
}

// count adds one to the counter for the result.
func (s *Summary) count(result geminihook.Result) {
	switch result {
	case geminihook.Processed:
		s.Handled++
	case geminihook.Duplicate:
		s.Duplicate++
	case geminihook.Busy:
		s.Busy++
	case geminihook.Dropped:
		s.Dropped++
	default: // failed, or the store is unavailable
		s.Failed++
	}
}

// report writes the log line of a sweep and calls Observe.
func (c *CatchUp) report(ctx context.Context, s Summary) {
	ctx = context.WithoutCancel(ctx)
	level := slog.LevelInfo
	if s.Unreadable+s.Dropped+s.Failed > 0 || s.Err != nil {
		level = slog.LevelWarn
	}
	c.logger().LogAttrs(ctx, level, "gemini sweep", s.attrs()...)
	if c.Observe != nil {
		c.Observe(s)
	}
}

func (s *Summary) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.Int("waiting", s.Waiting),
		slog.Int("young", s.Young),
		slog.Int("running", s.Running),
		slog.Int("unreadable", s.Unreadable),
		slog.Int("ended", s.Ended),
		slog.Int("handled", s.Handled),
		slog.Int("duplicate", s.Duplicate),
		slog.Int("busy", s.Busy),
		slog.Int("dropped", s.Dropped),
		slog.Int("failed", s.Failed),
		slog.Int("needs_action", s.NeedsAction),
		slog.Float64("elapsed_ms", float64(s.Elapsed.Microseconds())/1e3),
	}
	if s.Err != nil {
		attrs = append(attrs, slog.String("reason", s.Err.Error()))
	}
	return attrs
}

func (c *CatchUp) logger() *slog.Logger { return cmp.Or(c.Logger, slog.Default()) }

// tally counts for several goroutines.
type tally struct {
	mu  sync.Mutex
	sum Summary
}

func (t *tally) add(count func(*Summary)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count(&t.sum)
}

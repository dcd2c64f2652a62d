package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"golang.org/x/time/rate"
	"google.golang.org/genai"
)

// CatchUp asks the API about the jobs that the program waits for, and hands those
// that have ended to the program's function, as if a webhook had reported them.
//
// Each end goes through [geminihook.Endpoint.Process], with the same key in the
// store as the webhook's event. So the lease or transaction, the log and the
// metrics are those of a delivery, and whichever report comes second is a
// duplicate. Several instances may run at the same time.
//
// The events are those that a webhook would have delivered, with these
// differences: the Scheme of their Proof is [SchemeAPI]; their ID consists of the
// type and the job's id; UserMetadata is empty, because the API does not return
// it. Ends that no webhook reports have a [geminihook.InteractionIncomplete],
// [geminihook.InteractionBudgetExceeded] or [geminihook.VideoFailed] as their data.
//
// Client, Endpoint, Waiting and Handle must be set. The zero value of every other
// field means its documented default. Do not change or copy a CatchUp that is in
// use.
type CatchUp struct {
	// Client is the client for the API. CatchUp makes a copy of it that also sees
	// the headers of responses.
	Client *genai.Client

	// Endpoint is the one that receives the webhooks, or one with the same
	// Store. Its Key must be [geminihook.ByJob], or a function that returns
	// the same: with any other key, a job that is reported twice would be
	// handled twice. CatchUp calls the function once with a made-up event per kind
	// of job, and refuses to start if the key is another.
	Endpoint *geminihook.Endpoint

	// Waiting returns the jobs that the program still waits for: usually that is
	// [Table.Waiting], or Batches. It is called once per sweep and read as slots
	// become free, so it must not hold a connection that Handle needs: read a table
	// of your own in pages. After an error, the sweep ends. If a sweep cannot get to
	// all jobs before its context ends, begin with others next time: the order is the
	// program's.
	//
	// Stop returning a job when it has been handled. Otherwise it costs a request
	// per sweep, and is handled again after Endpoint.Keep, when the store has
	// forgotten it.
	Waiting func(ctx context.Context) iter.Seq2[Job, error]

	// Handle is the program's function, the same that Endpoint.Handler has. If
	// it panics, the event is released, the panic is logged, and the sweep goes
	// on.
	Handle func(ctx context.Context, ev *geminihook.Event) error

	// Grace is how long a job is left alone after its creation, and after
	// its end if the API says when that was, so that the webhook comes first.
	// Zero means 5 minutes.
	Grace time.Duration

	// Interval is the mean time between the end of a sweep of Run and the
	// beginning of the next. Each is chosen at random between one half and one
	// and a half times as long, so that instances do not ask at the same time.
	// Zero means 5 minutes.
	Interval time.Duration

	// SweepTimeout is how long a sweep of ServeHTTP may ask about jobs. It bounds
	// neither the runs of Handle nor the sweeps of Run. Zero means 1 minute.
	SweepTimeout time.Duration

	// Timeout bounds one request. Zero means 30 seconds.
	Timeout time.Duration

	// Concurrency bounds the jobs that are asked about or handled at the same
	// time. Zero means 4.
	Concurrency int

	// PerSecond bounds the requests per second. Zero means 5.
	// When the API says that there are too many (429), all requests wait for as
	// long as Retry-After says, but at most 10 minutes.
	PerSecond float64

	// Now is the clock to which Grace and Job.Created refer. Nil means
	// time.Now.
	Now func() time.Time

	// Logger gets a line per sweep and per job whose state could not be read.
	// Nil means slog.Default().
	Logger *slog.Logger

	// Observe is called with the summary of each sweep, for metrics. Nil means
	// that nothing is called.
	Observe func(Summary)

	once    sync.Once
	err     error // of prepare
	client  *apiClient
	gate    *gate
	serving sync.Mutex // one sweep of ServeHTTP at a time
}

// Summary counts the jobs of one sweep.
type Summary struct {
	Waiting int // jobs that Waiting returned: the sum of the next four, unless the context ended
	Young   int // left alone because of Grace
	Running int // have not ended
	// Unreadable jobs have a state that could not be read, or that this package does
	// not know. The next sweep asks again.
	Unreadable int
	Ended      int // have ended: the sum of the next five

	Handled   int // the function ran and succeeded
	Duplicate int // were handled before
	Busy      int // are being handled by another run; the next sweep asks again
	Dropped   int // the function returned a Permanent error
	Failed    int // the function or the store failed; the next sweep asks again

	// NeedsAction counts the interactions among Running that go on only after an
	// action of the program.
	NeedsAction int
	Elapsed     time.Duration // the time that the sweep took
	Err         error         // why the sweep ended early, or nil
}

// Run sweeps until ctx ends, and returns its error. The first sweep begins at
// once. An error of a sweep is logged, and the next one tries again. Run returns
// another error only if the CatchUp is not set up correctly.
func (c *CatchUp) Run(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	for {
		_, _ = c.Sweep(ctx) // logged
		mean := cmp.Or(c.Interval, 5*time.Minute)
		select {
		case <-time.After(mean/2 + rand.N(mean)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Sweep asks about every job that Waiting returns, once, and hands those that have
// ended to Handle. It returns after the last run of Handle. An error says that the
// sweep ended early: the CatchUp is not set up correctly, Waiting returned an
// error, or ctx ended. What goes wrong with one job is logged and counted, and does
// not end the sweep.
func (c *CatchUp) Sweep(ctx context.Context) (Summary, error) {
	if err := c.prepare(); err != nil {
		return Summary{Err: err}, err
	}
	start := time.Now()
	t := &tally{}
	err := c.each(ctx, func(job Job) { c.ask(ctx, job, t) }, t)
	summary := t.sum
	summary.Elapsed, summary.Err = time.Since(start), err
	c.report(ctx, summary)
	return summary, err
}

// each calls do for every job, for at most Concurrency of them at a time, and
// waits until all calls have returned.
func (c *CatchUp) each(ctx context.Context, do func(Job), t *tally) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, cmp.Or(c.Concurrency, 4))
	for job, err := range c.Waiting(context.WithValue(ctx, sessionKey{}, c)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("jobs: listing the waiting jobs: %w", err)
		}
		t.add(func(s *Summary) { s.Waiting++ })
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		wg.Go(func() {
			defer func() { <-slots }()
			do(job)
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// sessionKey is the key of the CatchUp in the context of Waiting.
type sessionKey struct{}

// prepare checks the fields and makes the client and the gate.
func (c *CatchUp) prepare() error {
	c.once.Do(func() {
		if c.err = c.check(); c.err != nil {
			return
		}
		perSecond := rate.Limit(cmp.Or(c.PerSecond, 5))
		c.gate = &gate{
			limiter: rate.NewLimiter(perSecond, 1),
			timeout: cmp.Or(c.Timeout, requestTimeout),
		}
		if c.client, c.err = newAPIClient(c.Client); c.err != nil {
			c.err = fmt.Errorf("jobs: CatchUp.Client: %w", c.err)
		}
	})
	return c.err
}

func (c *CatchUp) check() error {
	switch {
	case c.Client == nil || c.Endpoint == nil || c.Waiting == nil || c.Handle == nil:
		return errors.New("jobs: CatchUp.Client, Endpoint, Waiting or Handle is not set")
	case min(c.Grace, c.Interval, c.SweepTimeout, c.Timeout) < 0:
		return errors.New("jobs: CatchUp.Grace, Interval, SweepTimeout or Timeout is negative")
	case c.Concurrency < 0 || c.PerSecond < 0:
		return errors.New("jobs: CatchUp.Concurrency or PerSecond is negative")
	}
	return checkKey(c.Endpoint.Key)
}

package jobs

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The limits of a gate.
const (
	maxAttempts = 5                // of one request that meets a limit
	firstPause  = 2 * time.Second  // if the API does not say how long; doubles
	maxPause    = 10 * time.Minute // whatever the API says
)

// gate bounds the rate of requests, and stops all of them for a while when the API
// says that there are too many.
type gate struct {
	limiter *rate.Limiter
	timeout time.Duration

	mu    sync.Mutex
	until time.Time     // when the next request may start
	pause time.Duration // the last pause that the gate chose itself
}

// do makes a request. If it meets a limit, do waits and makes it again.
func (g *gate) do(ctx context.Context, request func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		if err := g.wait(ctx); err != nil {
			return err
		}
		var r reply
		err := func() error {
			ctx, cancel := context.WithTimeout(context.WithValue(ctx, replyKey{}, &r), g.timeout)
			defer cancel()
			return request(ctx)
		}()
		status, retryAfter := r.get()
		retryAfter = max(retryAfter, retryInfo(err))
		limited := status == http.StatusTooManyRequests ||
			(status == http.StatusServiceUnavailable && retryAfter > 0)
		if err == nil || !limited {
			g.opened()
			return err
		}
		g.close(retryAfter)
		if attempt == maxAttempts {
			return err
		}
	}
}

// wait waits until the next request may start, or returns the error of ctx.
func (g *gate) wait(ctx context.Context) error {
	for {
		if g.limiter.Wait(ctx) != nil { // ctx has ended, or will before it is this request's turn
			<-ctx.Done()
			return ctx.Err()
		}
		g.mu.Lock()
		pause := time.Until(g.until)
		g.mu.Unlock()
		if pause <= 0 {
			return ctx.Err()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close lets no request start for as long as the API asks. If it does not say how
// long, that is twice as long as the last time.
func (g *gate) close(asked time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().Before(g.until) && asked == 0 {
		return // several requests were under way and met the same limit
	}
	if asked == 0 {
		g.pause = min(max(2*g.pause, firstPause), maxPause)
		asked = g.pause
	}
	if until := time.Now().Add(min(asked, maxPause)); until.After(g.until) {
		g.until = until
	}
}

// opened notes that a request met no limit, so that the next pause is short again.
func (g *gate) opened() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pause = 0
}

// reply is what the SDK does not tell about a response: its headers, for batches
// and operations.
type reply struct {
	mu         sync.Mutex // a response may arrive after the SDK has returned
	status     int
	retryAfter time.Duration
}

type replyKey struct{}

// set notes a response.
func (r *reply) set(response *http.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = response.StatusCode
	r.retryAfter = parseRetryAfter(response.Header.Get("Retry-After"))
}

func (r *reply) get() (int, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status, r.retryAfter
}

// parseRetryAfter reads seconds or a date.
func parseRetryAfter(s string) time.Duration {
	if seconds, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return max(0, time.Until(at))
}

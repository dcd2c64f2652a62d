package geminihook_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

// function is what a program gives to Endpoint.Handler.
type function = func(context.Context, *geminihook.Event) error

var (
	signer = webhooktest.Static(webhooktest.TestSecret)
	at     = time.Date(2026, 1, 22, 12, 0, 5, 0, time.UTC) // when recorded deliveries were sent
)

// newVerifier accepts what signer signed. Unlike NewHMAC, it does not warn about
// the published secret.
func newVerifier(t testing.TB) *geminihook.HMAC {
	t.Helper()
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	require.NoError(t, err)
	return &geminihook.HMAC{Secrets: []geminihook.Secret{secret}}
}

// succeed is a function that does nothing.
func succeed(context.Context, *geminihook.Event) error { return nil }

// failWith is a function that returns the error.
func failWith(err error) function {
	return func(context.Context, *geminihook.Event) error { return err }
}

func newBatch() *webhooktest.Delivery {
	return webhooktest.New(geminihook.EventBatchSucceeded, signer)
}

// newEvent is an event that did not arrive over HTTP.
func newEvent(t testing.TB) *geminihook.Event {
	t.Helper()
	ev, err := geminihook.ParseUnverified([]byte(`{"type":"batch.succeeded","data":{"id":"batches/abc"}}`))
	require.NoError(t, err)
	ev.ID = "msg_1"
	return ev
}

// observer notes the outcomes and the log of an endpoint.
type observer struct {
	mu       sync.Mutex
	lines    strings.Builder
	outcomes []geminihook.Outcome
	noted    chan struct{} // one for each outcome
}

// observe gives the endpoint a verifier, unless it has one, and notes its outcomes and
// its log.
func observe(t testing.TB, e *geminihook.Endpoint) *observer {
	o := &observer{noted: make(chan struct{}, 10_000)}
	if e.Verifier == nil {
		e.Verifier = newVerifier(t)
	}
	e.Logger = slog.New(slog.NewTextHandler(o, nil))
	e.Observe = func(_ context.Context, outcome geminihook.Outcome) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.outcomes = append(o.outcomes, outcome)
		o.noted <- struct{}{}
	}
	return o
}

// Write implements [io.Writer] for the log.
func (o *observer) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines.Write(b)
}

// log returns what was logged so far.
func (o *observer) log() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines.String()
}

// next waits for one more outcome than the last call did, and returns the newest.
// An outcome comes after the response and after the log line.
func (o *observer) next() geminihook.Outcome { return o.skip(0) }

// skip waits for that many outcomes more than next does.
func (o *observer) skip(n int) geminihook.Outcome {
	for range n + 1 {
		<-o.noted
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.outcomes[len(o.outcomes)-1]
}

// runs counts the runs of a function by event id.
type runs struct {
	mu   sync.Mutex
	byID map[string]int
}

// count returns fn, whose runs are counted.
func (r *runs) count(fn function) function {
	return func(ctx context.Context, ev *geminihook.Event) error {
		r.mu.Lock()
		if r.byID == nil {
			r.byID = map[string]int{}
		}
		r.byID[ev.ID]++
		r.mu.Unlock()
		return fn(ctx, ev)
	}
}

func (r *runs) of(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// response is what the sender sees.
type response struct {
	status int
	body   string
	header http.Header
}

// server is a handler on a network.
type server struct {
	url    string
	client *http.Client
}

// serve serves the handler on a loopback port.
func serve(t testing.TB, h http.Handler) *server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return &server{url: srv.URL, client: srv.Client()}
}

func (s *server) send(t testing.TB, d *webhooktest.Delivery) response {
	t.Helper()
	req, err := d.ClientRequest(s.url)
	require.NoError(t, err)
	return s.do(t, req)
}

func (s *server) do(t testing.TB, req *http.Request) response {
	t.Helper()
	resp, err := s.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return response{status: resp.StatusCode, body: string(body), header: resp.Header}
}

// receiver is an observed endpoint behind a server.
type receiver struct {
	*server
	*observer
	runs
}

// newReceiver serves the endpoint on a loopback port with fn as the program's
// function.
func newReceiver(t testing.TB, e *geminihook.Endpoint, fn function) *receiver {
	rc := &receiver{observer: observe(t, e)}
	rc.server = serve(t, e.Handler(rc.count(fn)))
	return rc
}

// newPipeReceiver is newReceiver inside a synctest bubble.
func newPipeReceiver(t testing.TB, e *geminihook.Endpoint, fn function) *receiver {
	rc := &receiver{observer: observe(t, e)}
	rc.server = servePipe(t, e.Handler(rc.count(fn)))
	return rc
}

// letPass lets time pass in a synctest bubble, whose clock it is.
func letPass(d time.Duration) { <-time.After(d) }

// testClock is a clock that a test sets.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var errDisk = errors.New("disk full")

// countLines returns how many lines contain the text.
func countLines(log, text string) (n int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

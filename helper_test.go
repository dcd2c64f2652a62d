package geminihook_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

func quoted(s string) string {
	if strings.Contains(s, " ") {
		return `"` + s + `"`
	}
	return s
}

type failingVerifier struct{ err error }

func (f failingVerifier) Verify(context.Context, http.Header, []byte) (geminihook.Proof, error) {
	return geminihook.Proof{}, f.err
}

type acceptingVerifier struct{}

func (acceptingVerifier) Verify(context.Context, http.Header, []byte) (geminihook.Proof, error) {
	return geminihook.Proof{Scheme: "v1"}, nil
}

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

// receiver is an endpoint behind a real server, and what it saw.
type receiver struct {
	*geminihook.Endpoint
	url    string
	client *http.Client
	logs   *strings.Builder

	mu       sync.Mutex
	outcomes []geminihook.Outcome
	runs     map[string]int
	noted    chan struct{} // one for each outcome
}

// record sets what the test left open in the endpoint and notes its outcomes.
func record(t testing.TB, e *geminihook.Endpoint) *receiver {
	rc := &receiver{Endpoint: e, logs: new(strings.Builder), runs: map[string]int{}, noted: make(chan struct{}, 10_000)}
	if e.Verifier == nil {
		e.Verifier = newVerifier(t)
	}
	e.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: rc.logs, mu: &rc.mu}, nil))
	e.Observe = func(_ context.Context, o geminihook.Outcome) {
		rc.mu.Lock()
		rc.outcomes = append(rc.outcomes, o)
		rc.mu.Unlock()
		rc.noted <- struct{}{}
	}
	return rc
}

// start serves h on a loopback port.
func (rc *receiver) start(t testing.TB, h http.Handler) *receiver {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.Start()
	t.Cleanup(srv.Close)
	rc.url, rc.client = srv.URL, srv.Client()
	return rc
}

// newReceiver starts e behind a real server with fn as the program's function.
func newReceiver(t testing.TB, e *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error) *receiver {
	rc := record(t, e)
	return rc.start(t, e.Handler(rc.countRuns(fn)))
}

// countRuns counts the runs of fn by event id.
func (rc *receiver) countRuns(fn func(context.Context, *geminihook.Event) error) func(context.Context, *geminihook.Event) error {
	return func(ctx context.Context, ev *geminihook.Event) error {
		rc.mu.Lock()
		rc.runs[ev.ID]++
		rc.mu.Unlock()
		if fn == nil {
			return nil
		}
		return fn(ctx, ev)
	}
}

// response is what the sender sees.
type response struct {
	status int
	body   string
	header http.Header
}

func (rc *receiver) send(t testing.TB, d *webhooktest.Delivery) response {
	t.Helper()
	req, err := d.ClientRequest(rc.url)
	require.NoError(t, err)
	return rc.do(t, req)
}

func (rc *receiver) do(t testing.TB, req *http.Request) response {
	t.Helper()
	resp, err := rc.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return response{resp.StatusCode, string(body), resp.Header}
}

// outcome waits for the next outcome and returns the last. It comes after the
// response, and the log line before it: wait for it before you look at the log
// or let another request end.
func (rc *receiver) outcome() geminihook.Outcome {
	<-rc.noted
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.outcomes[len(rc.outcomes)-1]
}

func (rc *receiver) runCount(id string) int {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.runs[id]
}

func (rc *receiver) log() string {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.logs.String()
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// pipeListener is a network inside the test's bubble, where synctest's clock
// holds: each dial is a net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// newPipeReceiver is newReceiver inside a synctest bubble.
func newPipeReceiver(t testing.TB, e *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error) *receiver {
	rc := record(t, e)
	return rc.startPipe(t, e.Handler(rc.countRuns(fn)))
}

// startPipe is start inside a synctest bubble.
func (rc *receiver) startPipe(t testing.TB, h http.Handler) *receiver {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = srv.Serve(l) }()
	rc.url, rc.client = "http://receiver.example", &http.Client{Transport: &http.Transport{DialContext: l.dial}}
	t.Cleanup(func() {
		rc.client.CloseIdleConnections()
		_ = srv.Close()
		letPass(time.Second) // net/http closes some connections half a second late
	})
	return rc
}

// newFeed is a body that stops after some bytes until feed is called.
func newFeed(start []byte) (body io.ReadCloser, feed func()) {
	r, w := io.Pipe()
	go func() { _, _ = w.Write(start) }()
	return r, func() { _ = w.CloseWithError(io.ErrUnexpectedEOF) }
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

func newBatch() *webhooktest.Delivery { return webhooktest.New(geminihook.EventBatchSucceeded, signer) }

// countingStore counts the calls.
type countingStore struct {
	geminihook.Store
	calls atomic.Int64
}

func (s *countingStore) Claim(ctx context.Context, key, token string, lease, keep time.Duration) (geminihook.Claim, error) {
	s.calls.Add(1)
	return s.Store.Claim(ctx, key, token, lease, keep)
}

func (s *countingStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	s.calls.Add(1)
	return s.Store.Complete(ctx, key, token, keep)
}

func (s *countingStore) Release(ctx context.Context, key, token string) error {
	s.calls.Add(1)
	return s.Store.Release(ctx, key, token)
}

var errStoreAway = errors.New("connection refused")

// scriptedTransactor is a Transactor that runs fn as the script says.
type scriptedTransactor func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error)

func (s scriptedTransactor) Transact(ctx context.Context, _ string, _ time.Duration, fn func(context.Context) error) (
	geminihook.State, error,
) {
	return s(ctx, fn)
}

// newEvent is an event that did not arrive over HTTP.
func newEvent(t testing.TB) *geminihook.Event {
	t.Helper()
	ev, err := geminihook.ParseUnverified([]byte(`{"type":"batch.succeeded","data":{"id":"batches/abc"}}`))
	require.NoError(t, err)
	ev.ID = "msg_1"
	return ev
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

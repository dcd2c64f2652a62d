package geminihook_test

import (
	"context"
	"io"
	"log/slog"
	"net"
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

var (
	signer = webhooktest.Static(webhooktest.Secret)
	at     = time.Date(2026, 1, 22, 12, 0, 5, 0, time.UTC) // when recorded deliveries were sent
)

// verifier accepts what signer signed.
func verifier(t testing.TB) *geminihook.HMAC {
	t.Helper()
	v, err := geminihook.NewHMAC(webhooktest.Secret)
	require.NoError(t, err)
	return v
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

// fill sets what the test left open in the endpoint and notes its outcomes.
func fill(t testing.TB, e *geminihook.Endpoint) *receiver {
	rc := &receiver{Endpoint: e, logs: new(strings.Builder), runs: map[string]int{}, noted: make(chan struct{}, 10_000)}
	if e.Verifier == nil {
		e.Verifier = verifier(t)
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

// listen serves h on a loopback port.
func (rc *receiver) listen(t testing.TB, h http.Handler) *receiver {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.Start()
	t.Cleanup(srv.Close)
	rc.url, rc.client = srv.URL, srv.Client()
	return rc
}

// serve starts e behind a real server with fn as the program's function.
func serve(t testing.TB, e *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error) *receiver {
	rc := fill(t, e)
	return rc.listen(t, e.Handler(rc.counted(fn)))
}

// counted counts the runs of fn by event id.
func (rc *receiver) counted(fn func(context.Context, *geminihook.Event) error) func(context.Context, *geminihook.Event) error {
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

// answer is what the sender sees.
type answer struct {
	status int
	body   string
	header http.Header
}

func (rc *receiver) send(t testing.TB, d *webhooktest.Delivery) answer {
	t.Helper()
	req, err := d.ClientRequest(rc.url)
	require.NoError(t, err)
	return rc.do(t, req)
}

func (rc *receiver) do(t testing.TB, req *http.Request) answer {
	t.Helper()
	resp, err := rc.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, string(body), resp.Header}
}

// outcome waits for the next outcome, the nth so far, and returns the last.
func (rc *receiver) outcome() geminihook.Outcome {
	<-rc.noted
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.outcomes[len(rc.outcomes)-1]
}

func (rc *receiver) ran(id string) int {
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

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
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

// listenPipe is listen inside a synctest bubble.
func (rc *receiver) listenPipe(t testing.TB, h http.Handler) *receiver {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = srv.Serve(l) }()
	rc.url, rc.client = "http://receiver.example", &http.Client{Transport: &http.Transport{DialContext: l.dial}}
	t.Cleanup(func() {
		rc.client.CloseIdleConnections()
		_ = srv.Close()
	})
	return rc
}

// newFeed is a body that stops after some bytes until feed is called.
func newFeed(start []byte) (body io.ReadCloser, feed func()) {
	r, w := io.Pipe()
	go func() { _, _ = w.Write(start) }()
	return r, func() { _ = w.CloseWithError(io.ErrUnexpectedEOF) }
}

// pass lets time pass in a synctest bubble, whose clock it is.
func pass(d time.Duration) { <-time.After(d) }

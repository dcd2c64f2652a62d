package listen_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxBody is the default of geminihook.Endpoint.
const maxBody = 1 << 20

var signer = webhooktest.Static(webhooktest.TestSecret)

// bench is a running listener.
type bench struct {
	*listen.Listener
	t     *testing.T
	token string
	mu    sync.Mutex
	lines []listen.Notice
}

// start runs a listener until the test ends. The zero Config verifies with the
// test secret.
func start(t *testing.T, cfg listen.Config) *bench {
	t.Helper()
	b := &bench{t: t}
	cfg.Addr, cfg.UI, cfg.Token = "127.0.0.1:0", "127.0.0.1:0", pageToken
	if cfg.Verifier == nil {
		verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
		require.NoError(t, err)
		cfg.Verifier, cfg.Signers = verifier, []webhooktest.Signer{signer}
	}
	cfg.Observe = func(n listen.Notice) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lines = append(b.lines, n)
	}
	var err error
	b.Listener, err = listen.Start(cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	return b
}

// deliver sends a delivery to the receiving port and returns the response.
func (b *bench) deliver(d *webhooktest.Delivery) *http.Response {
	b.t.Helper()
	req, err := d.ClientRequest(b.ReceiveURL() + "some/path")
	require.NoError(b.t, err)
	return b.do(req)
}

// pageToken opens the page in tests.
const pageToken = "page-token-of-the-tests"

// do sends a request, to the page with its token.
func (b *bench) do(req *http.Request) *http.Response {
	b.t.Helper()
	if "http://"+req.URL.Host+"/" == b.PageURL() {
		req.Header.Set("Authorization", "Bearer "+pageToken)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp
}

// delivery is what the API says about one.
type delivery struct {
	Number, Cursor                        int64
	ID, Type, Job, Verdict, Reason        string
	Verified, Pending                     bool
	Attempts, Duplicates, Replays, Status int
	ClearedAfter                          int `json:"cleared_after"`
	Body, Pretty, Decoded                 string
	Reasons                               []string
	History                               []struct {
		Cursor, Status         int64
		Note, Replay, Response string
		Fault, Path            string
		Elapsed                float64     `json:"elapsed_ms"`
		Answered               [][2]string `json:"response_headers"`
		Duplicate              bool
		Headers                [][2]string
	}
}

// get decodes a response of the page's API.
func (b *bench) get(path string, status int, into any) {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.PageURL()+path, nil)
	require.NoError(b.t, err)
	resp := b.do(req)
	require.Equal(b.t, status, resp.StatusCode, path)
	if into != nil {
		require.NoError(b.t, json.NewDecoder(resp.Body).Decode(into))
	}
}

func (b *bench) list(query string) (all []delivery) {
	b.t.Helper()
	b.get("api/deliveries"+query, http.StatusOK, &all)
	return all
}

// post sends a request with the token that the page contains.
func (b *bench) post(path, body string) *http.Response {
	b.t.Helper()
	if b.token == "" {
		req, err := http.NewRequest(http.MethodGet, b.PageURL(), nil)
		require.NoError(b.t, err)
		html, err := io.ReadAll(b.do(req).Body)
		require.NoError(b.t, err)
		b.token = regexp.MustCompile(`data-token="(\w+)"`).FindStringSubmatch(string(html))[1]
	}
	req, err := http.NewRequest(http.MethodPost, b.PageURL()+path, strings.NewReader(body))
	require.NoError(b.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Geminihook-Token", b.token)
	return b.do(req)
}

// program is a local program that keeps what it gets.
type program struct {
	*httptest.Server
	mu       sync.Mutex
	received []*webhooktest.Delivery
	respond  http.HandlerFunc
}

func newProgram(t *testing.T) *program {
	p := &program{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.received = append(p.received, &webhooktest.Delivery{Header: r.Header.Clone(), Body: body})
		respond := p.respond
		p.mu.Unlock()
		if respond != nil {
			respond(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *program) got() []*webhooktest.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.received
}

func (p *program) set(respond http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.respond = respond
}

func TestAddresses(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	for _, tt := range []struct {
		name string
		cfg  listen.Config
		text string // of an error that wraps ErrConfig
	}{
		{"page on every address", listen.Config{UI: "0.0.0.0:0"}, "loopback"},
		{"page on every IPv6 address", listen.Config{UI: "[::]:0"}, "loopback"},
		{"page without a host", listen.Config{UI: ":0"}, "loopback"},
		{"page on another machine's address", listen.Config{UI: "192.0.2.1:0"}, "loopback"},
		{"page without a port", listen.Config{UI: "127.0.0.1"}, "missing port"},
		{"forward without a scheme", listen.Config{UI: "127.0.0.1:0", Forward: "127.0.0.1:8080"}, "http://"},
		{"forward to a file", listen.Config{UI: "127.0.0.1:0", Forward: "file:///etc/passwd"}, "http://"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Addr = "127.0.0.1:0"
			_, err := listen.Start(tt.cfg)
			require.ErrorIs(t, err, listen.ErrConfig)
			assert.ErrorContains(t, err, tt.text)
		})
	}
	address := strings.TrimPrefix(taken.URL, "http://")
	_, err := listen.Start(listen.Config{Addr: address, UI: "127.0.0.1:0"})
	require.Error(t, err)
	assert.NotErrorIs(t, err, listen.ErrConfig, "a port that is taken")
}

// TestLoop checks that deliveries are not forwarded to the listener itself.
func TestLoop(t *testing.T) {
	for _, tt := range []struct{ name, addr, ui, forward string }{
		{"to the first port", "127.0.0.1:PORT", "127.0.0.1:0", "http://127.0.0.1:PORT/x"},
		{"by name", "127.0.0.1:PORT", "127.0.0.1:0", "http://localhost:PORT/x"},
		{"to every address", "0.0.0.0:PORT", "127.0.0.1:0", "http://127.0.0.1:PORT/x"},
		{"to the page", "127.0.0.1:0", "127.0.0.1:PORT", "http://127.0.0.1:PORT/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for { // another program may take the port first
				free, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				_, port, _ := net.SplitHostPort(free.Addr().String())
				require.NoError(t, free.Close())
				at := func(s string) string { return strings.Replace(s, "PORT", port, 1) }
				_, err = listen.Start(listen.Config{
					Addr: at(tt.addr), UI: at(tt.ui), Forward: at(tt.forward),
				})
				require.Error(t, err)
				if errors.Is(err, listen.ErrConfig) {
					assert.ErrorContains(t, err, "another program")
					return
				}
			}
		})
	}
}

// TestEnd checks that open streams and waiting requests end with the listener.
func TestEnd(t *testing.T) {
	l, err := listen.Start(listen.Config{Addr: "127.0.0.1:0", UI: "[::1]:0"})
	if err != nil {
		// This machine has no IPv6.
		l, err = listen.Start(listen.Config{Addr: "127.0.0.1:0", UI: "127.0.0.1:0"})
	}
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	stream, err := http.Get(strings.Replace(l.OpenURL(), "?", "api/stream?", 1))
	require.NoError(t, err)
	defer stream.Body.Close()
	stop()
	_, err = io.ReadAll(stream.Body)
	assert.NoError(t, err)
	assert.NoError(t, <-ended)
}

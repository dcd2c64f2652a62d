package refused_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/refused"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var signer = webhooktest.Static(webhooktest.TestSecret)

// clock is moved by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// newRecorder returns a recorder with an empty folder and a clock.
func newRecorder(t *testing.T) (*refused.Recorder, *clock) {
	t.Helper()
	c := &clock{at: time.Date(2026, 1, 22, 12, 0, 5, 0, time.UTC)}
	return &refused.Recorder{Dir: filepath.Join(t.TempDir(), "refused"), Now: c.now, Logger: slog.New(slog.DiscardHandler)}, c
}

func newEndpoint(t *testing.T) *geminihook.Endpoint {
	t.Helper()
	v, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	return &geminihook.Endpoint{Verifier: v, Logger: slog.New(slog.DiscardHandler)}
}

func accept(context.Context, *geminihook.Event) error { return nil }

// files returns the names of all files in the folder.
func files(t *testing.T, r *refused.Recorder) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(r.Dir)
	if err != nil && !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// post sends the request and returns the status of the response.
func post(h http.Handler, r *http.Request) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestWrap(t *testing.T) {
	good := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	without := func(name string) *webhooktest.Delivery {
		d := good.Clone()
		d.Header.Del(name)
		return d
	}
	request := func(d *webhooktest.Delivery, change func(*http.Request)) *http.Request {
		r := d.Request("/gemini?token=confidential")
		r.Header.Set("Cookie", "confidential")
		r.Header.Set("Authorization", "confidential")
		if change != nil {
			change(r)
		}
		return r
	}
	big := webhooktest.NewBody(bytes.Repeat([]byte("x"), 1+refused.DefaultMaxBytes), signer)
	for _, tt := range []struct {
		name     string
		request  *http.Request
		status   int
		recorded bool
	}{
		{"genuine", request(good, nil), 200, false},
		{"forged", request(good.WrongSecret(), nil), 400, true},
		{"stale", request(good.Stale(), nil), 400, true},
		{"without a signature", request(without("webhook-signature"), nil), 400, true},
		{"without an id", request(without("webhook-id"), nil), 400, true},
		{"not JSON", request(webhooktest.NewBody([]byte("hello"), signer), nil), 400, true},
		{"not a delivery", request(&webhooktest.Delivery{Header: http.Header{}, Body: good.Body}, nil), 400, false},
		{"not a POST", request(good, func(r *http.Request) { r.Method = http.MethodGet }), 405, false},
		{"without a body", request(good.Tampered(), func(r *http.Request) { r.Body = nil }), 400, false},
		{"body read before", request(good, func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), 400, true},
		{"of unknown length", request(good.Tampered(), func(r *http.Request) { r.ContentLength = -1 }), 400, true},
		{"too large to record", request(big.Tampered(), nil), 400, false},
		{"too large", request(good.Oversized(2<<20), nil), 413, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := newRecorder(t)
			handler := r.Wrap(newEndpoint(t).Handler(accept))
			assert.Equal(t, tt.status, post(handler, tt.request))
			if !tt.recorded {
				assert.Empty(t, files(t, r))
				return
			}
			require.Len(t, files(t, r), 1)
			name := filepath.Join(r.Dir, files(t, r)[0])
			assert.Regexp(t, `/refused-20260122T120005Z-[A-Z0-9]{26}\.http$`, name)
			info, err := os.Stat(name)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode())
			content, err := os.ReadFile(name)
			require.NoError(t, err)
			assert.NotContains(t, string(content), "confidential")
			assert.Contains(t, string(content), "Content-Type: application/json\r\n")
		})
	}
}

// TestContent checks that a file has what arrived, also if the endpoint refused
// the headers without reading the body, and if the body is not complete.
func TestContent(t *testing.T) {
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	twice := d.Clone()
	twice.Header.Add("webhook-id", "another")
	d.Header.Set("Content-Encoding", "br")
	for name, d := range map[string]*webhooktest.Delivery{"forged": d.Tampered(), "headers refused": twice} {
		r, _ := newRecorder(t)
		assert.Equal(t, 400, post(r.Wrap(newEndpoint(t).Handler(accept)), d.Request("/")), name)
		recorded, err := webhooktest.Load(os.DirFS(r.Dir), "*.http")
		require.NoError(t, err, name)
		assert.Equal(t, d.Header, recorded[0].Header, name)
		assert.Equal(t, string(d.Body), string(recorded[0].Body), name)
	}

	r, _ := newRecorder(t)
	server := httptest.NewServer(r.Wrap(newEndpoint(t).Handler(accept)))
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 700\r\nWebhook-Id: a\r\nWebhook-Timestamp: 1\r\nWebhook-Signature: v1,AA\r\n\r\n{\"type\"")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	response, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(response), "400 Bad Request")
	server.Close() // after the handler has returned
	require.Len(t, files(t, r), 1)
	content, err := os.ReadFile(filepath.Join(r.Dir, files(t, r)[0]))
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(content), "Content-Length: 700\r\n\r\n{\"type\""), string(content))
}

// TestMiddleware checks that the 400 of a handler that got a genuine delivery is
// not taken for a refusal.
func TestMiddleware(t *testing.T) {
	for name, reply := range map[string]http.HandlerFunc{
		"http.Error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Bad Request", 400) },
		"status":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
		"JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			_, _ = io.WriteString(w, "{}")
		},
	} {
		r, _ := newRecorder(t)
		handler := r.Wrap(newEndpoint(t).Middleware(reply))
		d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
		assert.Equal(t, 400, post(handler, d.Request("/")), name)
		assert.Empty(t, files(t, r), name)
		assert.Equal(t, 400, post(handler, d.WrongSecret().Request("/")), name)
		assert.Len(t, files(t, r), 1, name)
	}
}

// TestFlood checks that a stranger cannot fill the disk.
func TestFlood(t *testing.T) {
	r, c := newRecorder(t)
	r.MaxFiles, r.Interval = 3, time.Minute
	handler := r.Wrap(newEndpoint(t).Handler(accept))
	forged := webhooktest.New(geminihook.EventBatchSucceeded, signer).WrongSecret()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				assert.Equal(t, 400, post(handler, forged.Request("/")))
			}
		})
	}
	wg.Wait()
	assert.Len(t, files(t, r), 1)
	require.NoError(t, os.WriteFile(filepath.Join(r.Dir, "0-mine.txt"), nil, 0o600))
	oldest := files(t, r)[1]
	for range 5 {
		c.move(59 * time.Second)
		post(handler, forged.Request("/"))
		c.move(time.Second)
		post(handler, forged.Request("/"))
	}
	assert.Len(t, files(t, r), 4, "three files, and one that is not the recorder's")
	assert.NotContains(t, files(t, r), oldest)
	assert.Contains(t, files(t, r), "0-mine.txt")
	c.move(-240 * time.Hour)
	post(handler, forged.Request("/"))
	assert.Contains(t, files(t, r)[1], "refused-20260112", "a clock that was set back does not end the recording")
}

// TestFailure checks that a folder that cannot be written changes no response,
// and is logged at most once per interval.
func TestFailure(t *testing.T) {
	r, _ := newRecorder(t)
	var log bytes.Buffer
	r.Logger = slog.New(slog.NewTextHandler(&log, nil))
	require.NoError(t, os.WriteFile(r.Dir, nil, 0o600)) // a file in its place
	handler := r.Wrap(newEndpoint(t).Handler(accept))
	good := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	assert.Equal(t, 400, post(handler, good.Tampered().Request("/")))
	assert.Equal(t, 400, post(handler, good.Tampered().Request("/")))
	assert.Equal(t, 200, post(handler, good.Request("/")))
	assert.Equal(t, 1, strings.Count(log.String(), "could not be recorded"))
}

// blocking is a log handler that waits.
type blocking struct {
	slog.Handler
	entered, leave chan struct{}
}

func (b blocking) Handle(context.Context, slog.Record) error {
	b.entered <- struct{}{}
	<-b.leave
	return nil
}

// TestOneAtATime checks that a disk that hangs does not collect requests.
func TestOneAtATime(t *testing.T) {
	r, c := newRecorder(t)
	b := blocking{slog.DiscardHandler, make(chan struct{}), make(chan struct{})}
	r.Logger = slog.New(enabled{b})
	handler := r.Wrap(newEndpoint(t).Handler(accept))
	forged := webhooktest.New(geminihook.EventBatchSucceeded, signer).WrongSecret()
	var wg sync.WaitGroup
	wg.Go(func() { post(handler, forged.Request("/")) })
	<-b.entered // after the file was written, but before the recorder is done
	c.move(time.Hour)
	assert.Equal(t, 400, post(handler, forged.Request("/")))
	assert.Len(t, files(t, r), 1)
	close(b.leave)
	wg.Wait()
}

// enabled makes a handler get all lines.
type enabled struct{ slog.Handler }

func (enabled) Enabled(context.Context, slog.Level) bool { return true }

// TestController checks that the endpoint can limit the time for the body.
func TestController(t *testing.T) {
	r, _ := newRecorder(t)
	server := httptest.NewServer(r.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		assert.NoError(t, http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour)))
		assert.NoError(t, http.NewResponseController(w).Flush())
	})))
	defer server.Close()
	req, err := webhooktest.New(geminihook.EventBatchSucceeded, signer).ClientRequest(server.URL)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 200, resp.StatusCode)
}

func TestWrapPanics(t *testing.T) {
	assert.PanicsWithValue(t, "refused: Wrap: nil handler", func() { (&refused.Recorder{Dir: "x"}).Wrap(nil) })
	assert.PanicsWithValue(t, "refused: Wrap: Recorder.Dir is empty", func() { (&refused.Recorder{}).Wrap(http.NotFoundHandler()) })
}

package geminihook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMaxBody(t *testing.T) {
	d := newBatch().Oversized(200) // 201 bytes
	for _, tt := range []struct {
		name    string
		maxBody int64
		chunked bool
		status  int
	}{
		{"just small enough", 201, false, 200},
		{"one byte too large", 200, false, 413},
		{"just small enough, chunked", 201, true, 200},
		{"one byte too large, chunked", 200, true, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{MaxBody: tt.maxBody}, succeed)
			req, err := d.ClientRequest(rc.url)
			require.NoError(t, err)
			if tt.chunked {
				req.ContentLength, req.Body = -1, io.NopCloser(bytes.NewReader(d.Body))
			}
			assert.Equal(t, tt.status, rc.do(t, req).status)
		})
	}
}

// TestAnnouncedBody: memory grows with what has arrived, whatever a stranger
// announces and however large MaxBody is. With the race detector, io.ReadAll
// allocates twice as much.
func TestAnnouncedBody(t *testing.T) {
	for _, tt := range []struct {
		name            string
		maxBody, length int64
		sent            int
		bytes           uint64 // that may be allocated
	}{
		{"an event", 0, 300, 300, 4 << 10},
		{"1 MiB", 0, 1 << 20, 1 << 20, 5 << 20},
		{"1 MiB announced", 0, 1 << 20, 0, 4 << 10},
		{"1 TiB announced", 1 << 40, 1 << 40, 0, 4 << 10},
		{"1 TiB announced, 65 KB sent", 1 << 40, 1 << 40, 65_000, 512 << 10},
		{"largest announced", math.MaxInt64, math.MaxInt64, 0, 4 << 10},
		{"largest, chunked", math.MaxInt64, -1, 65_000, 512 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read := 0
			refuse := fixedVerifier{err: geminihook.ErrSignature}
			e := &geminihook.Endpoint{Verifier: refuse, MaxBody: tt.maxBody}
			header, body := newBatch().Header, make([]byte, tt.sent)
			const runs = 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				r := &http.Request{Method: "POST", Header: header, ContentLength: tt.length}
				r.Body = io.NopCloser(io.TeeReader(bytes.NewReader(body), counter{&read}))
				if _, err := e.Receive(nil, r); !errors.Is(err, geminihook.ErrSignature) {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/runs, tt.bytes)
			assert.Equal(t, runs*tt.sent, read, "the body was read")
		})
	}
}

type counter struct{ n *int }

func (c counter) Write(b []byte) (int, error) {
	*c.n += len(b)
	return len(b), nil
}

// TestSenderStallsInTheBody: nothing is claimed, and the next attempt runs.
func TestSenderStallsInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newPipeReceiver(t, &geminihook.Endpoint{ReadTimeout: time.Second}, succeed)
		d := newBatch()
		req, err := d.ClientRequest(rc.url)
		require.NoError(t, err)
		body, end := newStalledBody(d.Body[:10])
		req.Body, req.ContentLength = body, int64(len(d.Body))
		start := time.Now()
		resp, err := rc.client.Do(req)
		if err == nil {
			resp.Body.Close()
			assert.Equal(t, 400, resp.StatusCode)
		}
		out := rc.next()
		end()
		require.ErrorIs(t, out.Err, geminihook.ErrPayload)
		assert.Nil(t, out.Body, "it was not read completely")
		assert.Equal(t, time.Second, time.Since(start), "ReadTimeout ends the wait for a slow body")
		assert.Equal(t, 200, rc.send(t, d).status)
		assert.Equal(t, 1, rc.of(d.ID()))
	})
}

// deadlineRecorder notes the read deadlines that are set.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlineRecorder) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// TestReadTimeoutIsCleared: the deadline is cleared before the function runs, so that a
// run that takes longer does not make the server take the sender for disconnected.
// net/http clears it itself for HTTP/1; other servers do not.
func TestReadTimeoutIsCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &geminihook.Endpoint{ReadTimeout: time.Second}
		observe(t, e)
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		start := time.Now()
		h := e.Handler(func(context.Context, *geminihook.Event) error {
			assert.Equal(t, []time.Time{start.Add(time.Second), {}}, w.set)
			return nil
		})
		h.ServeHTTP(w, newBatch().Request("/"))
		assert.Equal(t, 200, w.Code)
	})
}

// TestReadTimeoutOfRefused: net/http reads the rest of a small body before it
// responds, so ReadTimeout must hold for what the endpoint does not read, too.
// Without it, nothing would ever end in this bubble.
func TestReadTimeoutOfRefused(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		header       bool
		length       int64
		status       int
	}{
		{"PUT", "PUT", true, 1000, 405},
		{"GET", "GET", true, 1000, 405},
		{"over MaxBody", "POST", true, 5000, 413},
		{"without headers", "POST", false, 1000, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{ReadTimeout: 7 * time.Second, MaxBody: 4000}
				rc := newPipeReceiver(t, e, succeed)
				body, end := newStalledBody([]byte("{"))
				req, err := http.NewRequestWithContext(t.Context(), tt.method, rc.url, body)
				require.NoError(t, err)
				req.ContentLength = tt.length
				if tt.header {
					req.Header = newBatch().Header
				}
				start := time.Now()
				if resp, err := rc.client.Do(req); err == nil {
					resp.Body.Close()
					assert.Equal(t, tt.status, resp.StatusCode)
				}
				assert.Equal(t, tt.status, rc.next().Status)
				assert.Equal(t, 7*time.Second, time.Since(start))
				end()
			})
		})
	}
}

// deadlineWriter is a ResponseWriter that takes a read deadline.
type deadlineWriter struct{ http.ResponseWriter }

func (deadlineWriter) SetReadDeadline(time.Time) error { return nil }

// hideWriter is a middleware whose ResponseWriter has no Unwrap.
func hideWriter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	})
}

func timeoutHandler(next http.Handler) http.Handler {
	return http.TimeoutHandler(next, time.Hour, "")
}

// TestReadTimeoutNotEnforced: it is logged once that the server must enforce it.
func TestReadTimeoutNotEnforced(t *testing.T) {
	direct := func(h http.Handler) http.Handler { return h }
	withTimeout := &http.Server{ReadTimeout: time.Second}
	for _, tt := range []struct {
		name   string
		server *http.Server
		wrap   func(http.Handler) http.Handler
		lines  int
	}{
		{"direct", &http.Server{}, direct, 0},
		{"without Unwrap", &http.Server{}, hideWriter, 1},
		{"http.TimeoutHandler", &http.Server{}, timeoutHandler, 1},
		{"without Unwrap, and the server has a timeout", withTimeout, hideWriter, 0},
		{"no server", nil, hideWriter, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{}
			o := observe(t, e)
			h := tt.wrap(e.Handler(succeed))
			for range 3 {
				ctx := t.Context()
				if tt.server != nil {
					ctx = context.WithValue(ctx, http.ServerContextKey, tt.server)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(deadlineWriter{w}, newBatch().Request("/").WithContext(ctx))
				assert.Equal(t, 200, w.Code)
			}
			assert.Equal(t, tt.lines, strings.Count(o.log(), "ReadTimeout cannot be enforced"))
		})
	}
}

// TestBodyFails: whatever the body's error says, the response is not 200.
func TestBodyFails(t *testing.T) {
	r := newBatch().Request("/")
	r.Body = io.NopCloser(iotest.ErrReader(geminihook.Permanent(errors.New("cut"))))
	e := &geminihook.Endpoint{Verifier: newVerifier(t)}
	_, err := e.Receive(httptest.NewRecorder(), r)
	require.ErrorIs(t, err, geminihook.ErrPayload)
	assert.Equal(t, 400, geminihook.StatusCode(err))
}

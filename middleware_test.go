package geminihook_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMiddleware(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		body    string
		result  geminihook.Result
		again   int // the status of the next attempt
		runs    int // after it
	}{
		{"writes nothing", func(http.ResponseWriter, *http.Request) {}, 200, "", geminihook.Processed, 200, 1},
		{"writes a body", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "thanks") }, 200, "thanks", geminihook.Processed, 200, 1},
		{"202", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); fmt.Fprint(w, "later") }, 202, "later", geminihook.Processed, 200, 1},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, "", geminihook.Processed, 200, 1},
		{"early hints, then 200", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(200) }, 200, "", geminihook.Processed, 200, 1},
		{"301", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(301) }, 301, "", geminihook.Failed, 301, 2},
		{"404", http.NotFound, 404, "404 page not found\n", geminihook.Failed, 404, 2},
		{"500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", 500) }, 500, "broken\n", geminihook.Failed, 500, 2},
		{"200 after 500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); w.WriteHeader(200) }, 500, "", geminihook.Failed, 500, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			rc.start(t, rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ev, ok := geminihook.FromContext(r.Context())
				if !assert.True(t, ok) {
					return
				}
				_ = rc.countRuns(nil)(r.Context(), ev)
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, []byte(ev.Raw), body, "the body is readable again")
				assert.Equal(t, int64(len(body)), r.ContentLength)
				w.Header().Set("X-Own", "kept")
				tt.handler(w, r)
				w.Header().Set("X-Own", "too late, unless nothing was written")
			})))
			rc.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			d := newBatch()
			got := rc.send(t, d)
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.body, got.body)
			assert.NotEmpty(t, got.header.Get("X-Own"))
			out := rc.outcome()
			assert.Equal(t, tt.result, out.Result)
			assert.Equal(t, tt.status, out.Status)
			assert.Equal(t, tt.again, rc.send(t, d).status)
			assert.Equal(t, tt.runs, rc.runCount(d.ID()))
			assert.Equal(t, 400, rc.send(t, d.Tampered()).status)
			assert.Equal(t, tt.runs, rc.runCount(d.ID()))
		})
	}
}

// TestMiddlewareChunked: a body without Content-Length has one behind it.
func TestMiddlewareChunked(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{})
	d := newBatch()
	rc.start(t, rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, int64(len(d.Body)), r.ContentLength)
		assert.Empty(t, r.TransferEncoding)
	})))
	req, err := d.ClientRequest(rc.url)
	require.NoError(t, err)
	req.ContentLength, req.Body = -1, io.NopCloser(bytes.NewReader(d.Body))
	assert.Equal(t, 200, rc.do(t, req).status)
}

func TestMiddlewarePanic(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{})
	runs := 0
	rc.start(t, rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		if runs++; runs == 1 {
			panic("after the 200")
		}
	})))
	d := newBatch()
	req, err := d.ClientRequest(rc.url)
	require.NoError(t, err)
	_, err = rc.client.Do(req)
	require.Error(t, err, "the 200 that the handler wrote was not sent")
	assert.Equal(t, 200, rc.send(t, d).status)
	assert.Equal(t, 2, runs)
}

// TestMiddlewareCommitFails: the handler's 200 must not reach the sender if the
// transaction that it was part of did not commit.
func TestMiddlewareCommitFails(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{Transactor: scriptedTransactor(func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		_ = fn(ctx)
		return geminihook.Acquired, geminihook.ErrStore
	})})
	rc.start(t, rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })))
	got := rc.send(t, newBatch())
	assert.Equal(t, 503, got.status)
	assert.Equal(t, geminihook.Unavailable, rc.outcome().Result)
}

func TestNilHandlersPanic(t *testing.T) {
	e := &geminihook.Endpoint{}
	assert.Panics(t, func() { e.Handler(nil) })
	assert.Panics(t, func() { e.Middleware(nil) })
}

// TestMiddlewareStatuses: no status that is not a 2xx completes the event, and
// an invalid one panics as it does in net/http.
func TestMiddlewareStatuses(t *testing.T) {
	for _, tt := range []struct {
		status int
		panics bool
	}{{0, true}, {-1, true}, {99, true}, {1000, true}, {101, false}, {300, false}, {999, false}} {
		t.Run(strconv.Itoa(tt.status), func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			h := rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if ev, _ := geminihook.FromContext(r.Context()); ev.Attempt == 1 {
					w.WriteHeader(tt.status)
				}
			}))
			d := newBatch()
			first := func() { h.ServeHTTP(httptest.NewRecorder(), d.Request("/")) }
			if tt.panics {
				assert.PanicsWithValue(t, fmt.Sprint("invalid WriteHeader code ", tt.status), first)
			} else {
				first()
			}
			out := rc.outcome()
			assert.Equal(t, geminihook.Failed, out.Result)
			require.Error(t, out.Err)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, d.Request("/"))
			assert.Equal(t, 200, w.Code)
			out = rc.outcome()
			assert.Equal(t, geminihook.Processed, out.Result, "the event was released")
			assert.Equal(t, 2, out.Event.Attempt)
		})
	}
}

// TestMiddlewareLongReply: a reply over 1 MiB is not held back, and the event
// fails.
func TestMiddlewareLongReply(t *testing.T) {
	const limit = 1 << 20
	for _, tt := range []struct {
		name   string
		writes []int // lengths
		status int
	}{
		{"at the bound", []int{limit}, 200},
		{"at the bound, in pieces", []int{limit - 1, 1, 0}, 200},
		{"a byte over it", []int{limit + 1}, 500},
		{"a byte over it, in pieces", []int{limit, 1}, 500},
		{"far over it", []int{64 << 20}, 500},
		{"too long, then more that would fit", []int{limit + 1, 1}, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			rc.start(t, rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if ev, _ := geminihook.FromContext(r.Context()); ev.Attempt > 1 {
					return
				}
				for _, n := range tt.writes {
					_, _ = w.Write(make([]byte, n)) // many handlers do not look at the error
				}
			})))
			d := newBatch()
			got := rc.send(t, d)
			assert.Equal(t, tt.status, got.status)
			out := rc.outcome()
			if tt.status == 200 {
				assert.Len(t, got.body, limit)
				assert.Equal(t, geminihook.Processed, out.Result)
				return
			}
			assert.Equal(t, geminihook.Failed, out.Result)
			assert.ErrorContains(t, out.Err, "longer than 1048576 bytes")
			assert.Equal(t, "Internal Server Error\n", got.body)
			assert.Equal(t, 200, rc.send(t, d).status, "released")
			assert.Equal(t, geminihook.Processed, rc.outcome().Result)
		})
	}
}

// TestMiddlewareTwice: of a Transactor that runs the function again, the last
// response counts.
func TestMiddlewareTwice(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{Transactor: scriptedTransactor(func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		_ = fn(ctx)
		return geminihook.Acquired, fn(ctx)
	})})
	runs := 0
	rc.start(t, rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if runs++; runs == 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})))
	assert.Equal(t, 500, rc.send(t, newBatch()).status)
	assert.Equal(t, geminihook.Failed, rc.outcome().Result)
}

// TestMiddlewareInside: the handler sees and extends the header of a middleware
// outside.
func TestMiddlewareInside(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{})
	inner := rc.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Vary", "Accept")
		w.Header().Del("X-Remove")
	}))
	rc.start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		w.Header().Set("X-Remove", "x")
		inner.ServeHTTP(w, r)
	}))
	got := rc.send(t, newBatch())
	assert.Equal(t, []string{"Origin", "Accept"}, got.header["Vary"])
	assert.Empty(t, got.header["X-Remove"])
}

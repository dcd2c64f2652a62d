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

// newMiddleware serves the handler behind the endpoint's Middleware.
func newMiddleware(t *testing.T, e *geminihook.Endpoint, next http.HandlerFunc) *receiver {
	rc := &receiver{observer: observe(t, e)}
	counted := func(w http.ResponseWriter, r *http.Request) {
		ev, ok := geminihook.FromContext(r.Context())
		if assert.True(t, ok) {
			_ = rc.count(succeed)(r.Context(), ev)
			next(w, r)
		}
	}
	rc.server = serve(t, e.Middleware(http.HandlerFunc(counted)))
	rc.client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return rc
}

// TestMiddleware: the handler's response is sent as it is, and a 2xx alone
// completes the event.
func TestMiddleware(t *testing.T) {
	write := func(statuses ...int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, status := range statuses {
				w.WriteHeader(status)
			}
		}
	}
	reply := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		body    string
		runs    int // of two deliveries
	}{
		{"writes nothing", write(), 200, "", 1},
		{"200", reply(200, "thanks"), 200, "thanks", 1},
		{"202", reply(202, "later"), 202, "later", 1},
		{"204", write(204), 204, "", 1},
		{"early hints, then 200", write(103, 200), 200, "", 1},
		{"301", write(301), 301, "", 2},
		{"404", reply(404, "not here"), 404, "not here", 2},
		{"500", reply(500, "broken"), 500, "broken", 2},
		{"200 after 500", write(500, 200), 500, "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newMiddleware(t, &geminihook.Endpoint{}, tt.handler)
			d := newBatch()
			got := rc.send(t, d)
			out := rc.next()
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.status, out.Status)
			assert.Equal(t, tt.body, got.body)
			if tt.runs == 1 {
				assert.Equal(t, geminihook.Processed, out.Result)
			} else {
				assert.Equal(t, geminihook.Failed, out.Result)
			}
			rc.send(t, d)
			assert.Equal(t, tt.runs, rc.of(d.ID()))
		})
	}
}

// TestMiddlewareRequest: the handler gets the request as it arrived, with a body
// that can be read again. What it changes there does not reach the outcome.
func TestMiddlewareRequest(t *testing.T) {
	for name, chunked := range map[string]bool{"Content-Length": false, "chunked": true} {
		t.Run(name, func(t *testing.T) {
			d := newBatch()
			handler := func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, d.Body, body)
				assert.Equal(t, int64(len(body)), r.ContentLength)
				assert.Empty(t, r.TransferEncoding)
				r.Header.Set("Webhook-Id", "changed")
			}
			rc := newMiddleware(t, &geminihook.Endpoint{}, handler)
			req, err := d.ClientRequest(rc.url)
			require.NoError(t, err)
			if chunked {
				req.ContentLength, req.Body = -1, io.NopCloser(bytes.NewReader(d.Body))
			}
			assert.Equal(t, 200, rc.do(t, req).status)
			assert.Equal(t, d.ID(), rc.next().Header.Get("Webhook-Id"))
		})
	}
}

// TestMiddlewareForged: nothing unverified reaches the handler.
func TestMiddlewareForged(t *testing.T) {
	rc := newMiddleware(t, &geminihook.Endpoint{}, func(http.ResponseWriter, *http.Request) {
		t.Error("the handler was called")
	})
	assert.Equal(t, 400, rc.send(t, newBatch().Tampered()).status)
}

func TestMiddlewarePanic(t *testing.T) {
	panics := true
	rc := newMiddleware(t, &geminihook.Endpoint{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		if panics {
			panic("after the 200")
		}
	})
	d := newBatch()
	req, err := d.ClientRequest(rc.url)
	require.NoError(t, err)
	_, err = rc.client.Do(req)
	require.Error(t, err, "the 200 that the handler wrote was not sent")
	rc.next()
	panics = false
	assert.Equal(t, 200, rc.send(t, d).status)
	assert.Equal(t, 2, rc.of(d.ID()))
}

// TestMiddlewareCommitFails: the handler's 2xx must not reach the sender if the
// transaction that it was part of did not commit.
func TestMiddlewareCommitFails(t *testing.T) {
	fails := func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		_ = fn(ctx)
		return geminihook.Acquired, geminihook.ErrStore
	}
	e := &geminihook.Endpoint{Transactor: scriptedTransactor(fails)}
	rc := newMiddleware(t, e, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	assert.Equal(t, 503, rc.send(t, newBatch()).status)
	assert.Equal(t, geminihook.Unavailable, rc.next().Result)
}

// TestMiddlewareStatuses: no status that is not a 2xx completes the event, and an
// invalid one panics as it does in net/http.
func TestMiddlewareStatuses(t *testing.T) {
	for _, tt := range []struct {
		status int
		panics bool
	}{{0, true}, {-1, true}, {99, true}, {1000, true}, {101, false}, {300, false}, {999, false}} {
		t.Run(strconv.Itoa(tt.status), func(t *testing.T) {
			e := &geminihook.Endpoint{}
			o := observe(t, e)
			h := e.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			assert.Equal(t, geminihook.Failed, o.next().Result)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, d.Request("/"))
			assert.Equal(t, 200, w.Code)
			out := o.next()
			assert.Equal(t, geminihook.Processed, out.Result, "the event was released")
			assert.Equal(t, 2, out.Event.Attempt)
		})
	}
}

// TestMiddlewareLongReply: of a reply over 1 MiB the status is sent, which decides
// about the event as any other.
func TestMiddlewareLongReply(t *testing.T) {
	const limit = 1 << 20
	for _, tt := range []struct {
		name   string
		status int
		writes []int // lengths
		body   int   // length of what is sent
		runs   int   // of two deliveries
	}{
		{"at the bound", 200, []int{limit}, limit, 1},
		{"at the bound, in pieces", 200, []int{limit - 1, 1, 0}, limit, 1},
		{"a byte over it", 200, []int{limit + 1}, 0, 1},
		{"a byte over it, in pieces", 200, []int{limit, 1}, 0, 1},
		{"far over it", 202, []int{64 << 20}, 0, 1},
		{"too long, then more that would fit", 200, []int{limit + 1, 1}, 0, 1},
		{"an error that is too long", 500, []int{limit + 1}, 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "x-own")
				w.WriteHeader(tt.status)
				for _, n := range tt.writes {
					written, err := w.Write(make([]byte, n))
					assert.NoError(t, err)
					assert.Equal(t, n, written)
				}
			}
			rc := newMiddleware(t, &geminihook.Endpoint{}, handler)
			d := newBatch()
			got := rc.send(t, d)
			rc.next()
			assert.Equal(t, tt.status, got.status)
			assert.Len(t, got.body, tt.body)
			assert.Equal(t, strconv.Itoa(tt.body), got.header.Get("Content-Length"))
			if tt.body == 0 {
				assert.Contains(t, rc.log(), "longer than 1048576 bytes: it is sent without its body")
				assert.Empty(t, got.header.Get("Content-Encoding"), "an empty body is not compressed")
			}
			rc.send(t, d)
			assert.Equal(t, tt.runs, rc.of(d.ID()))
		})
	}
}

// TestMiddlewareTwice: of a Transactor that runs the function again, the last
// response counts.
func TestMiddlewareTwice(t *testing.T) {
	twice := func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		_ = fn(ctx)
		return geminihook.Acquired, fn(ctx)
	}
	calls := 0
	e := &geminihook.Endpoint{Transactor: scriptedTransactor(twice)}
	rc := newMiddleware(t, e, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	assert.Equal(t, 500, rc.send(t, newBatch()).status)
	assert.Equal(t, geminihook.Failed, rc.next().Result)
}

// TestMiddlewareHeader: the handler sees and extends the header of a middleware
// outside, until it writes the status. Trailers, which a held response cannot have,
// are not announced.
func TestMiddlewareHeader(t *testing.T) {
	e := &geminihook.Endpoint{}
	observe(t, e)
	inner := e.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Vary", "Accept")
		w.Header().Del("X-Remove")
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set(http.TrailerPrefix+"X-Early", "1")
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Other", "1")
	}))
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		w.Header().Set("X-Remove", "x")
		inner.ServeHTTP(w, r)
	}))
	got := s.send(t, newBatch())
	assert.Equal(t, []string{"Origin", "Accept"}, got.header["Vary"])
	for _, name := range []string{"X-Remove", "Trailer", "X-Sum", "X-Late", "X-Early"} {
		assert.NotContains(t, got.header, name)
	}
}

package geminihook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVerifierFails: an error that does not refuse the delivery means 503, and
// no error of a Verifier ever means 200.
func TestVerifierFails(t *testing.T) {
	down := errors.New("the database of secrets is down")
	wrong := &geminihook.HMAC{} // refuses with ErrSignature
	for _, tt := range []struct {
		name     string
		verifier geminihook.Verifier
		status   int
	}{
		{"plain", failingVerifier{down}, 503},
		{"plain, last of AnyOf", geminihook.AnyOf(wrong, failingVerifier{down}), 503},
		{"plain, first of AnyOf", geminihook.AnyOf(failingVerifier{down}, wrong), 503},
		{"plain, first of AnyOf, and another accepts", geminihook.AnyOf(failingVerifier{down}, newVerifier(t)), 200},
		{"plain, in nested AnyOf", geminihook.AnyOf(wrong, geminihook.AnyOf(failingVerifier{down})), 503},
		{"the status of another refusal", failingVerifier{geminihook.ErrForbidden}, 503},
		{"context ended", failingVerifier{context.DeadlineExceeded}, 503},
		{"Permanent", failingVerifier{geminihook.Permanent(down)}, 503},
		{"wrapped Permanent", failingVerifier{fmt.Errorf("tenant 7: %w", geminihook.Permanent(down))}, 503},
		{"Permanent refusal", failingVerifier{geminihook.Permanent(geminihook.ErrSignature)}, 503},
		{"refusal joined with Permanent", failingVerifier{errors.Join(geminihook.ErrHeader, geminihook.Permanent(down))}, 503},
		{"ErrPermanent itself", failingVerifier{geminihook.ErrPermanent}, 503},
		{"Permanent in AnyOf", geminihook.AnyOf(wrong, failingVerifier{geminihook.Permanent(down)}), 503},
		{"refusal", failingVerifier{fmt.Errorf("unknown tenant: %w", geminihook.ErrSignature)}, 400},
		{"refusal in AnyOf", geminihook.AnyOf(wrong, failingVerifier{geminihook.ErrTimestamp}), 400},
		{"nil KeySet", (*geminihook.KeySet)(nil), 400},
		{"nil HMAC", (*geminihook.HMAC)(nil), 400},
		{"nil Ed25519", (*geminihook.Ed25519)(nil), 400},
		{"all nil in AnyOf", geminihook.AnyOf((*geminihook.KeySet)(nil), (*geminihook.HMAC)(nil), (*geminihook.Ed25519)(nil)), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{Verifier: tt.verifier, Logger: slog.New(slog.DiscardHandler)}
			for name, signer := range map[string]webhooktest.Signer{"static": signer, "dynamic": webhooktest.Dynamic(webhooktest.Key(1))} {
				if tt.status == 200 && name == "dynamic" {
					continue
				}
				d := webhooktest.New(geminihook.EventBatchFailed, signer)
				ev, err := e.Receive(httptest.NewRecorder(), d.Request("/"))
				assert.Equal(t, tt.status, geminihook.StatusCode(err), "%s: %v", name, err)
				assert.Equal(t, err == nil, ev != nil)
				w := httptest.NewRecorder()
				e.Handler(func(context.Context, *geminihook.Event) error { return nil }).ServeHTTP(w, d.Request("/"))
				assert.Equal(t, tt.status, w.Code, name)
			}
		})
	}
}

func TestAuthorizeErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		result geminihook.Result
	}{
		{"any", errors.New("not ours"), 403, geminihook.Forbidden},
		{"Permanent", geminihook.Permanent(errors.New("not ours, and never will be")), 200, geminihook.Dropped},
		{"wraps ErrStore", fmt.Errorf("%w: the list of jobs is away", geminihook.ErrStore), 503, geminihook.Unavailable},
		{"Permanent and ErrStore", geminihook.Permanent(geminihook.ErrStore), 503, geminihook.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &countingStore{Store: &geminihook.MemoryStore{}}
			rc := newReceiver(t, &geminihook.Endpoint{
				Store: store, Authorize: func(context.Context, *geminihook.Event) error { return tt.err },
			}, nil)
			d := newBatch()
			assert.Equal(t, tt.status, rc.send(t, d).status)
			out := rc.outcome()
			assert.Equal(t, tt.result, out.Result)
			require.ErrorIs(t, out.Err, tt.err)
			assert.Equal(t, d.ID(), out.ID)
			assert.Zero(t, rc.runCount(d.ID()))
			assert.Zero(t, store.calls.Load(), "nothing is claimed")

			ev, err := rc.Receive(httptest.NewRecorder(), d.Request("/"))
			assert.Nil(t, ev, "Receive asks Authorize, too")
			assert.Equal(t, tt.status, geminihook.StatusCode(err))
		})
	}
}

// TestBodyReadBefore: a body that a middleware has consumed is not reported as
// a bad signature.
func TestBodyReadBefore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		read    int64
		chunked bool
		log     string
	}{
		{"partly", 10, false, "99 of 109 bytes"},
		{"one byte", 1, false, "108 of 109 bytes"},
		{"wholly", 1 << 20, false, "0 of 109 bytes"},
		{"wholly, chunked", 1 << 20, true, "something read the body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			next := rc.Handler(rc.countRuns(nil))
			rc.start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.CopyN(io.Discard, r.Body, tt.read)
				assert.True(t, err == nil || errors.Is(err, io.EOF))
				next.ServeHTTP(w, r)
			}))
			d := webhooktest.New(geminihook.EventBatchExpired, signer)
			require.Len(t, d.Body, 109)
			req, err := d.ClientRequest(rc.url)
			require.NoError(t, err)
			if tt.chunked {
				req.ContentLength, req.Body = -1, io.NopCloser(bytes.NewReader(d.Body))
			}
			assert.Equal(t, 400, rc.do(t, req).status)
			out := rc.outcome()
			require.ErrorIs(t, out.Err, geminihook.ErrPayload)
			assert.NotErrorIs(t, out.Err, geminihook.ErrSignature)
			assert.ErrorContains(t, out.Err, "something read the body")
			assert.ErrorContains(t, out.Err, tt.log)
		})
	}
}

// TestAnnouncedBody: memory grows with what has arrived, whatever a stranger
// announces and however large MaxBody is.
func TestAnnouncedBody(t *testing.T) {
	for _, tt := range []struct {
		name            string
		maxBody, length int64
		sent            int
		bytes           uint64
	}{
		{"default, nothing sent", 0, (1 << 20), 0, 64 << 10},
		{"1 TiB, nothing sent", 1 << 40, 1 << 40, 0, 64 << 10},
		{"1 TiB, 65 KB sent", 1 << 40, 1 << 40, 65_000, 512 << 10},
		{"largest, nothing sent", math.MaxInt64, math.MaxInt64, 0, 64 << 10},
		{"largest, 65 KB sent", math.MaxInt64, math.MaxInt64, 65_000, 512 << 10},
		{"largest, chunked", math.MaxInt64, -1, 65_000, 512 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{Verifier: newVerifier(t), MaxBody: tt.maxBody}
			d := newBatch()
			body := make([]byte, tt.sent)
			const runs = 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				r := &http.Request{Method: "POST", Header: d.Header, ContentLength: tt.length, Body: io.NopCloser(bytes.NewReader(body))}
				if _, err := e.Receive(nil, r); err == nil {
					t.Fatal("accepted")
				}
			}
			runtime.ReadMemStats(&after)
			assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/runs, tt.bytes)
		})
	}
	t.Run("largest, genuine", func(t *testing.T) {
		e := &geminihook.Endpoint{Verifier: newVerifier(t), MaxBody: math.MaxInt64}
		d := newBatch().Oversized(100_000)
		ev, err := e.Receive(nil, d.Request("/"))
		require.NoError(t, err)
		assert.Equal(t, d.Body, []byte(ev.Raw))
	})
}

// TestReadTimeoutOfRefused: net/http reads the rest of a small body before
// it responds, so that ReadTimeout must hold for what the endpoint does not
// read. Without it, nothing would ever end in this bubble.
func TestReadTimeoutOfRefused(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		header       bool
		length       int64
		status       int
		err          error
	}{
		{"PUT", "PUT", true, 1000, 405, geminihook.ErrMethod},
		{"GET", "GET", true, 1000, 405, geminihook.ErrMethod},
		{"over MaxBody", "POST", true, 5000, 413, geminihook.ErrTooLarge},
		{"without headers", "POST", false, 1000, 400, geminihook.ErrHeader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rc := newPipeReceiver(t, &geminihook.Endpoint{ReadTimeout: 7 * time.Second, MaxBody: 4000}, nil)
				body, feed := newFeed([]byte("{"))
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
				assert.ErrorIs(t, rc.outcome().Err, tt.err)
				assert.Equal(t, 7*time.Second, time.Since(start))
				feed()
			})
		})
	}
}

// deadlineWriter is a ResponseWriter that takes a read deadline.
type deadlineWriter struct{ http.ResponseWriter }

func (deadlineWriter) SetReadDeadline(time.Time) error { return nil }

func TestReadTimeoutNotEnforced(t *testing.T) {
	direct := func(h http.Handler) http.Handler { return h }
	for _, tt := range []struct {
		name   string
		server *http.Server
		wrap   func(http.Handler) http.Handler
		want   int // lines about it
	}{
		{"direct", &http.Server{}, direct, 0},
		{"without Unwrap", &http.Server{}, hideWriter, 1},
		{"http.TimeoutHandler", &http.Server{}, func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Hour, "") }, 1},
		{"without Unwrap, and the server has a timeout", &http.Server{ReadTimeout: time.Second}, hideWriter, 0},
		{"no server", nil, hideWriter, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			h := tt.wrap(rc.Handler(rc.countRuns(nil)))
			for range 3 {
				ctx := t.Context()
				if tt.server != nil {
					ctx = context.WithValue(ctx, http.ServerContextKey, tt.server)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(deadlineWriter{w}, newBatch().Request("/").WithContext(ctx))
				assert.Equal(t, 200, w.Code)
			}
			assert.Equal(t, tt.want, strings.Count(rc.log(), "ReadTimeout cannot be enforced"), rc.log())
		})
	}
}

// hideWriter is a middleware whose ResponseWriter has no Unwrap.
func hideWriter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	})
}

// TestBodyFails: whatever the body's error says, the response is not 200.
func TestBodyFails(t *testing.T) {
	r := newBatch().Request("/")
	r.Body = io.NopCloser(iotest.ErrReader(geminihook.Permanent(errors.New("cut"))))
	_, err := (&geminihook.Endpoint{Verifier: newVerifier(t)}).Receive(httptest.NewRecorder(), r)
	require.ErrorIs(t, err, geminihook.ErrPayload)
	assert.Equal(t, 400, geminihook.StatusCode(err))
}

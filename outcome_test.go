package geminihook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestObserveAfterResponse: the client has its whole response while Observe is
// still running. If it did not, nothing in the bubble could go on.
func TestObserveAfterResponse(t *testing.T) {
	thanks := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "thanks") })
	handler := func(e *geminihook.Endpoint) http.Handler { return e.Handler(succeed) }
	middleware := func(e *geminihook.Endpoint) http.Handler { return e.Middleware(thanks) }
	for _, tt := range []struct {
		name     string
		handler  func(*geminihook.Endpoint) http.Handler
		delivery func() *webhooktest.Delivery // made in the bubble, by its clock
		status   int
		body     string
	}{
		{"processed", handler, newBatch, 200, ""},
		{"rejected", handler, func() *webhooktest.Delivery { return newBatch().Tampered() }, 400, "Bad Request\n"},
		{"middleware", middleware, newBatch, 200, "thanks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{}
				observe(t, e)
				hasResponse, observed := make(chan struct{}), make(chan geminihook.Outcome, 1)
				e.Observe = func(_ context.Context, o geminihook.Outcome) {
					<-hasResponse
					observed <- o
				}
				s := servePipe(t, tt.handler(e))
				got := s.send(t, tt.delivery())
				close(hasResponse)
				assert.Equal(t, tt.status, got.status)
				assert.Equal(t, tt.body, got.body)
				assert.Equal(t, tt.status, (<-observed).Status)
			})
		})
	}
}

// TestObserveContext: the context that Observe gets does not end with the sender's
// connection.
func TestObserveContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := &geminihook.Endpoint{}
	observe(t, e)
	var got error
	e.Observe = func(ctx context.Context, _ geminihook.Outcome) { got = ctx.Err() }
	cancel()
	e.Process(ctx, newEvent(t), succeed)
	require.NoError(t, got)
	r := newBatch().Request("/").WithContext(ctx)
	e.Handler(succeed).ServeHTTP(&discard{header: http.Header{}}, r)
	require.NoError(t, got)
}

// discard is an http.ResponseWriter.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// TestEmptyResponse: an empty response is not chunked, whoever sets its
// Content-Length.
func TestEmptyResponse(t *testing.T) {
	for _, observed := range []bool{false, true} {
		t.Run(fmt.Sprint("observed ", observed), func(t *testing.T) {
			e := &geminihook.Endpoint{}
			observe(t, e)
			if !observed {
				e.Observe = nil
			}
			s := serve(t, e.Handler(succeed))
			d := newBatch()
			for _, state := range []string{"processed", "duplicate"} {
				req, err := d.ClientRequest(s.url)
				require.NoError(t, err)
				resp, err := s.client.Do(req)
				require.NoError(t, err)
				resp.Body.Close()
				assert.Equal(t, 200, resp.StatusCode, state)
				assert.Zero(t, resp.ContentLength, state)
				assert.Empty(t, resp.TransferEncoding, state)
			}
		})
	}
}

// TestOutcomeID: a refused delivery has its webhook-id as it arrived, if that has
// the right form.
func TestOutcomeID(t *testing.T) {
	withID := func(values ...string) *webhooktest.Delivery {
		d := newBatch()
		d.Header["Webhook-Id"] = values
		return d
	}
	genuine := newBatch()
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		want     string
	}{
		{"genuine", genuine, genuine.ID()},
		{"forged", withID("msg_2").Tampered(), "msg_2"},
		{"none", withID(), ""},
		{"two", withID("msg_2", "msg_3"), ""},
		{"malformed", withID("msg 4"), ""},
		{"too long", withID(strings.Repeat("x", 257)), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{}, succeed)
			rc.send(t, tt.delivery)
			assert.Equal(t, tt.want, rc.next().ID)
		})
	}
}

// TestOutcomeIsNotShown: whoever logs or encodes an outcome does not show the body
// or the header.
func TestOutcomeIsNotShown(t *testing.T) {
	rc := newReceiver(t, &geminihook.Endpoint{}, succeed)
	d := newBatch()
	rc.send(t, d)
	out := rc.next()
	require.NotEmpty(t, out.Body)
	var text strings.Builder
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		fmt.Fprintf(&text, format+format+format+"\n", out, &out, []geminihook.Outcome{out})
	}
	for _, h := range []slog.Handler{
		slog.NewTextHandler(&text, nil),
		slog.NewJSONHandler(&text, nil),
	} {
		slog.New(h).Info("x", "outcome", out, "pointer", &out, "list", []any{out})
	}
	assertNoSecrets(t, text.String(), d)
	assert.NotContains(t, text.String(), fmt.Sprintf("%x", d.Body[:8]))
	assert.Contains(t, text.String(), d.ID())

	for name, value := range map[string]any{
		"value":   out,
		"pointer": &out,
		"list":    []geminihook.Outcome{out},
	} {
		b, err := json.Marshal(value)
		require.ErrorContains(t, err, "an Outcome cannot be encoded as JSON", name)
		assert.Empty(t, b)
	}
}

package geminihook_test

import (
	"context"
	"errors"
	"fmt"
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
	reply := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "thanks") }
	for _, tt := range []struct {
		name    string
		handler func(*geminihook.Endpoint) http.Handler
		change  func(*webhooktest.Delivery) *webhooktest.Delivery
		status  int
		body    string
	}{
		{name: "processed", status: 200},
		{name: "rejected", change: (*webhooktest.Delivery).Tampered, status: 400, body: "Bad Request\n"},
		{
			name: "middleware", status: 200, body: "thanks",
			handler: func(e *geminihook.Endpoint) http.Handler { return e.Middleware(http.HandlerFunc(reply)) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rc := record(t, &geminihook.Endpoint{})
				hasResponse, observed := make(chan struct{}), make(chan geminihook.Outcome, 1)
				rc.Observe = func(_ context.Context, o geminihook.Outcome) {
					<-hasResponse
					observed <- o
				}
				h := rc.Handler(rc.countRuns(nil))
				if tt.handler != nil {
					h = tt.handler(rc.Endpoint)
				}
				rc.startPipe(t, h)
				d := newBatch()
				if tt.change != nil {
					d = tt.change(d)
				}
				got := rc.send(t, d)
				close(hasResponse)
				assert.Equal(t, tt.status, got.status)
				assert.Equal(t, tt.body, got.body)
				assert.Equal(t, tt.status, (<-observed).Status)
			})
		})
	}
}

// TestEmptyResponse: an empty response is not chunked, whoever sets its
// Content-Length.
func TestEmptyResponse(t *testing.T) {
	for _, observed := range []bool{false, true} {
		t.Run(fmt.Sprint("observed ", observed), func(t *testing.T) {
			rc := record(t, &geminihook.Endpoint{})
			if !observed {
				rc.Observe = nil
			}
			rc.start(t, rc.Handler(rc.countRuns(nil)))
			d := newBatch()
			for _, state := range []string{"processed", "duplicate"} {
				req, err := d.ClientRequest(rc.url)
				require.NoError(t, err)
				resp, err := rc.client.Do(req)
				require.NoError(t, err)
				resp.Body.Close()
				assert.Equal(t, 200, resp.StatusCode, state)
				assert.Zero(t, resp.ContentLength, state)
				assert.Empty(t, resp.TransferEncoding, state)
			}
		})
	}
}

// TestLogAttempt: the line has an attempt only if the function ran and the
// store counts.
func TestLogAttempt(t *testing.T) {
	committed := scriptedTransactor(func(ctx context.Context, fn func(context.Context) error) (geminihook.State, error) {
		return geminihook.Acquired, fn(ctx)
	})
	d := newBatch()
	for _, tt := range []struct {
		name       string
		transactor geminihook.Transactor
		deliveries []*webhooktest.Delivery
		want       []string // for each line, its attempt
	}{
		{"a run and its duplicate", nil, []*webhooktest.Delivery{d, d}, []string{"attempt=1", ""}},
		{"rejected", nil, []*webhooktest.Delivery{d.Tampered()}, []string{""}},
		{"transactional", committed, []*webhooktest.Delivery{d}, []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{Transactor: tt.transactor}, nil)
			for _, d := range tt.deliveries {
				rc.send(t, d)
				rc.outcome()
			}
			lines := strings.Split(strings.TrimSpace(rc.log()), "\n")
			require.Len(t, lines, len(tt.want))
			for i, line := range lines {
				assert.Contains(t, line, tt.want[i])
				assert.Equal(t, tt.want[i] != "", strings.Contains(line, "attempt="), line)
			}
		})
	}
}

// TestOutcomeID: a refused delivery has its webhook-id as it was claimed, if
// that has the right form.
func TestOutcomeID(t *testing.T) {
	header := func(values ...string) *webhooktest.Delivery {
		d := newBatch()
		d.Header["Webhook-Id"] = values
		return d
	}
	refuse := func(context.Context, *geminihook.Event) error { return errors.New("not ours") }
	processed, stale := newBatch(), newBatch().Stale()
	for _, tt := range []struct {
		name      string
		authorize func(context.Context, *geminihook.Event) error
		delivery  *webhooktest.Delivery
		want      string
		event     bool
	}{
		{name: "processed", delivery: processed, want: processed.ID(), event: true},
		{name: "tampered", delivery: header("msg_2").Tampered(), want: "msg_2"},
		{name: "stale", delivery: stale, want: stale.ID()},
		{name: "forbidden", authorize: refuse, delivery: processed, want: processed.ID(), event: true},
		{name: "none", delivery: header(), want: ""},
		{name: "malformed", delivery: header("msg 4"), want: ""},
		{name: "too long", delivery: header(strings.Repeat("x", 257)), want: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{Authorize: tt.authorize}, nil)
			rc.send(t, tt.delivery)
			out := rc.outcome()
			assert.Equal(t, tt.want, out.ID)
			assert.Equal(t, tt.event, out.Event != nil)
		})
	}
}

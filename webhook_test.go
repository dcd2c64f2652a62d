package geminihook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestResponses is the table of responses, over a real server.
func TestResponses(t *testing.T) {
	good := func() *webhooktest.Delivery { return webhooktest.New(geminihook.EventBatchSucceeded, signer) }
	header := func(name, value string) *webhooktest.Delivery {
		d := good()
		d.Header.Set(name, value)
		return d
	}
	fail := errors.New("disk full")
	for _, tt := range []struct {
		name     string
		endpoint *geminihook.Endpoint
		fn       func(context.Context, *geminihook.Event) error
		delivery *webhooktest.Delivery
		method   string
		status   int
		result   geminihook.Result
		err      error
		log      string
	}{
		{name: "processed", delivery: good(), status: 200, result: geminihook.Processed},
		{name: "unknown type", delivery: webhooktest.New("batch.paused", signer), status: 200, result: geminihook.Processed},
		{
			name: "permanent", delivery: good(), status: 200, result: geminihook.Dropped, err: fail, log: "disk full",
			fn: func(context.Context, *geminihook.Event) error { return geminihook.Permanent(fail) },
		},
		{
			name: "function failed", delivery: good(), status: 500, result: geminihook.Failed, err: fail, log: "disk full",
			fn: func(context.Context, *geminihook.Event) error { return fail },
		},
		{name: "GET", method: "GET", delivery: good(), status: 405, result: geminihook.Rejected, err: geminihook.ErrMethod, log: "not POST"},
		{name: "PUT", method: "PUT", delivery: good(), status: 405, result: geminihook.Rejected, err: geminihook.ErrMethod},
		{
			name: "body one byte too large", endpoint: &geminihook.Endpoint{MaxBody: 200}, delivery: good().Oversized(200),
			status: 413, result: geminihook.Rejected, err: geminihook.ErrTooLarge, log: "too large",
		},
		{
			name: "body too large by default", delivery: good().Oversized((1 << 20)),
			status: 413, result: geminihook.Rejected, err: geminihook.ErrTooLarge,
		},
		{
			name: "body just small enough", endpoint: &geminihook.Endpoint{MaxBody: 201}, delivery: good().Oversized(200),
			status: 200, result: geminihook.Processed,
		},
		{name: "no header", delivery: &webhooktest.Delivery{Body: []byte("{}")}, status: 400, result: geminihook.Rejected, err: geminihook.ErrHeader, log: "exactly once"},
		{name: "id with a space", delivery: header("webhook-id", "msg 1"), status: 400, result: geminihook.Rejected, err: geminihook.ErrHeader, log: "visible ASCII"},
		{name: "stale", delivery: good().Stale(), status: 400, result: geminihook.Rejected, err: geminihook.ErrTimestamp, log: "behind this machine's clock"},
		{name: "future", delivery: good().Future(), status: 400, result: geminihook.Rejected, err: geminihook.ErrTimestamp, log: "ahead of this machine's clock"},
		{name: "milliseconds", delivery: good().Sign(time.UnixMilli(time.Now().Unix()*1000*1000), signer), status: 400, result: geminihook.Rejected, err: geminihook.ErrTimestamp, log: "in milliseconds"},
		{name: "tampered", delivery: good().Tampered(), status: 400, result: geminihook.Rejected, err: geminihook.ErrSignature, log: "body was changed"},
		{name: "wrong secret", delivery: good().WrongSecret(), status: 400, result: geminihook.Rejected, err: geminihook.ErrSignature, log: "whsec_...MDAx"},
		{
			name: "JWT", delivery: header("webhook-signature", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"),
			status: 400, result: geminihook.Rejected, err: geminihook.ErrSignature, log: "is a JWT",
		},
		{
			name: "dynamic at a static endpoint", delivery: webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Dynamic(webhooktest.Key(0))),
			status: 400, result: geminihook.Rejected, err: geminihook.ErrSignature, log: "this is a dynamic webhook",
		},
		{name: "not JSON", delivery: webhooktest.NewBody([]byte("hello"), signer), status: 400, result: geminihook.Rejected, err: geminihook.ErrPayload, log: "not a JSON object"},
		{name: "JSON array", delivery: webhooktest.NewBody([]byte("[{}]"), signer), status: 400, result: geminihook.Rejected, err: geminihook.ErrPayload},
		{name: "empty body", delivery: webhooktest.NewBody(nil, signer), status: 400, result: geminihook.Rejected, err: geminihook.ErrPayload},
		{
			name: "not authorized", delivery: good(), status: 403, result: geminihook.Forbidden, err: geminihook.ErrForbidden, log: "nobody's job",
			endpoint: &geminihook.Endpoint{Authorize: func(context.Context, *geminihook.Event) error { return errors.New("nobody's job") }},
		},
		{
			name: "authorized", delivery: good(), status: 200, result: geminihook.Processed,
			endpoint: &geminihook.Endpoint{Authorize: func(context.Context, *geminihook.Event) error { return nil }},
		},
		{
			name: "keys unavailable", delivery: good(), status: 503, result: geminihook.Unavailable, err: geminihook.ErrUnavailable,
			endpoint: &geminihook.Endpoint{Verifier: geminihook.AnyOf(&geminihook.HMAC{}, failingVerifier{geminihook.ErrUnavailable})},
		},
		{
			name: "verifier that fails", delivery: good(), status: 503, result: geminihook.Unavailable, err: geminihook.ErrUnavailable,
			endpoint: &geminihook.Endpoint{Verifier: failingVerifier{errors.New("out of luck")}}, log: "out of luck",
		},
		{
			name: "verifier with an error that says 200", delivery: good(), status: 503, result: geminihook.Unavailable,
			endpoint: &geminihook.Endpoint{Verifier: failingVerifier{geminihook.Permanent(errors.New("never"))}}, err: geminihook.ErrPermanent,
		},
		{
			name: "verifier that refuses with an error that says 200", delivery: good(), status: 503, result: geminihook.Unavailable,
			endpoint: &geminihook.Endpoint{Verifier: failingVerifier{geminihook.Permanent(geminihook.ErrSignature)}}, err: geminihook.ErrUnavailable,
		},
		{
			name: "verifier that accepts anything, and a malformed id", delivery: header("webhook-id", strings.Repeat("x", 257)), status: 400,
			result: geminihook.Rejected, endpoint: &geminihook.Endpoint{Verifier: acceptingVerifier{}}, err: geminihook.ErrHeader,
		},
		{
			name: "a HMAC without secrets", delivery: good(), status: 400, result: geminihook.Rejected, err: geminihook.ErrSignature,
			endpoint: &geminihook.Endpoint{Verifier: &geminihook.HMAC{}}, log: "no secret is configured",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &countingStore{Store: &geminihook.MemoryStore{}}
			if tt.endpoint == nil {
				tt.endpoint = &geminihook.Endpoint{}
			}
			tt.endpoint.Store = store
			rc := newReceiver(t, tt.endpoint, tt.fn)
			req, err := tt.delivery.ClientRequest(rc.url)
			require.NoError(t, err)
			if tt.method != "" {
				req.Method = tt.method
			}
			got := rc.do(t, req)
			assert.Equal(t, tt.status, got.status)
			out := rc.outcome()
			assert.Equal(t, tt.status, out.Status)
			assert.Equal(t, tt.result, out.Result)
			assert.Equal(t, tt.status == 405, got.header.Get("Allow") == "POST", "Allow only with 405")
			assert.Equal(t, tt.status == 503, got.header.Get("Retry-After") != "", "Retry-After only with 503")
			if tt.status == 200 {
				assert.Empty(t, got.body)
			} else {
				assert.Equal(t, http.StatusText(tt.status), strings.TrimSpace(got.body), "the sender learns the status text alone")
			}
			if tt.err != nil {
				require.ErrorIs(t, out.Err, tt.err)
			} else {
				require.NoError(t, out.Err)
			}
			if refused := tt.result == geminihook.Rejected || tt.result == geminihook.Forbidden || tt.result == geminihook.Unavailable; refused {
				assert.Zero(t, rc.runCount(tt.delivery.ID()), "nothing unverified reaches the function")
				assert.Zero(t, store.calls.Load(), "nor the store")
			} else {
				assert.Equal(t, 1, rc.runCount(tt.delivery.ID()))
			}
			assert.Contains(t, rc.log(), tt.log)
			assert.Contains(t, rc.log(), `result=`+quoted(string(tt.result)))
			for _, secret := range []string{webhooktest.TestSecret[12:], "results.jsonl", tt.delivery.Header.Get("webhook-signature")} {
				if secret != "" {
					assert.NotContains(t, rc.log(), secret)
				}
			}
		})
	}
}

func TestEndpointWithoutVerifier(t *testing.T) {
	rc := record(t, &geminihook.Endpoint{})
	rc.Verifier = nil
	rc.start(t, rc.Handler(rc.countRuns(nil)))
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	assert.Equal(t, 400, rc.send(t, d).status)
	assert.Zero(t, rc.runCount(d.ID()))
	rc.outcome()
	assert.Contains(t, rc.log(), "no verifier is configured")
}

func TestReceive(t *testing.T) {
	store := &countingStore{Store: &geminihook.MemoryStore{}}
	e := &geminihook.Endpoint{Verifier: newVerifier(t), Store: store}
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	rc := record(t, e)
	rc.start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, err := e.Receive(w, r)
		if err != nil {
			assert.Nil(t, ev)
			w.WriteHeader(geminihook.StatusCode(err))
			return
		}
		assert.Equal(t, d.ID(), ev.ID)
		assert.Equal(t, geminihook.Proof{Scheme: "v1", KeyName: "whsec_...MDAx"}, ev.Proof)
		assert.Equal(t, d.Body, []byte(ev.Raw))
		assert.Zero(t, ev.Attempt)
		w.WriteHeader(http.StatusAccepted)
	}))
	assert.Equal(t, 202, rc.send(t, d).status)
	assert.Equal(t, 400, rc.send(t, d.Tampered()).status)
	assert.Zero(t, store.calls.Load())
}

// TestBodyBuffer: memory grows with what arrives, so that a stranger who
// announces a body and sends nothing gets little. With the race detector,
// io.ReadAll allocates twice as much.
func TestBodyBuffer(t *testing.T) {
	e := &geminihook.Endpoint{Verifier: failingVerifier{geminihook.ErrSignature}}
	for _, tt := range []struct {
		name   string
		length int
		sent   int
		err    error // that shows how far the body was read
		bytes  uint64
	}{
		{"event", 300, 300, geminihook.ErrSignature, 2 << 10},
		{"32 KiB", 32 << 10, 32 << 10, geminihook.ErrSignature, 192 << 10},
		{"1 MiB", 1 << 20, 1 << 20, geminihook.ErrSignature, 5 << 20},
		{"1 MiB claimed, nothing sent", 1 << 20, 0, geminihook.ErrPayload, 4 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header, body := newBatch().Header, make([]byte, tt.sent)
			const runs = 5
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				r := &http.Request{Method: "POST", Header: header, ContentLength: int64(tt.length), Body: io.NopCloser(bytes.NewReader(body))}
				if _, err := e.Receive(nil, r); !errors.Is(err, tt.err) {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/runs, tt.bytes)
		})
	}
}

// TestSenderHangsUpInTheBody: nothing is claimed, and the next attempt runs.
func TestSenderHangsUpInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newPipeReceiver(t, &geminihook.Endpoint{ReadTimeout: time.Second}, nil)
		d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
		req, err := d.ClientRequest(rc.url)
		require.NoError(t, err)
		body, feed := newFeed(d.Body[:10])
		req.Body, req.ContentLength = body, int64(len(d.Body))
		start := time.Now()
		resp, err := rc.client.Do(req)
		if err == nil {
			resp.Body.Close()
			assert.Equal(t, 400, resp.StatusCode)
		}
		out := rc.outcome()
		feed()
		assert.ErrorIs(t, out.Err, geminihook.ErrPayload)
		assert.Equal(t, time.Second, time.Since(start), "ReadTimeout ends the wait for a slow body")
		assert.Equal(t, 200, rc.send(t, d).status)
		assert.Equal(t, 1, rc.runCount(d.ID()))
	})
}

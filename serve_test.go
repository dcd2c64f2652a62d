package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRefused: what is not a genuine delivery reaches neither the function nor the
// store, and the sender learns nothing but the status.
func TestRefused(t *testing.T) {
	header := func(name, value string) *webhooktest.Delivery {
		d := newBatch()
		d.Header.Set(name, value)
		return d
	}
	milliseconds := time.UnixMilli(time.Now().Unix() * 1000 * 1000)
	dynamic := webhooktest.New(geminihook.EventVideoGenerated,
		webhooktest.Dynamic(webhooktest.Key(0)))
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		status   int
		err      error
		log      string
	}{
		{"too large", newBatch().Oversized(1 << 20), 413, geminihook.ErrTooLarge, "too large"},
		{"no header", &webhooktest.Delivery{Body: []byte("{}")}, 400, geminihook.ErrHeader, "exactly once"},
		{"id with a space", header("webhook-id", "msg 1"), 400, geminihook.ErrHeader, "visible ASCII"},
		{"stale", newBatch().Stale(), 400, geminihook.ErrTimestamp, "behind this machine's clock"},
		{"future", newBatch().Future(), 400, geminihook.ErrTimestamp, "ahead of this machine's clock"},
		{"milliseconds", newBatch().Sign(milliseconds), 400, geminihook.ErrTimestamp, "in milliseconds"},
		{"tampered", newBatch().Tampered(), 400, geminihook.ErrSignature, "body was changed"},
		{"wrong secret", newBatch().WrongSecret(), 400, geminihook.ErrSignature, "whsec_...MDAx"},
		{"JWT", header("webhook-signature", "eyJh.e30.c2ln"), 400, geminihook.ErrSignature, "is a JWT"},
		{"dynamic", dynamic, 400, geminihook.ErrSignature, "this is a dynamic webhook"},
		{"text", webhooktest.NewBody([]byte("hello"), signer), 400, geminihook.ErrPayload, "not a JSON object"},
		{"JSON array", webhooktest.NewBody([]byte("[{}]"), signer), 400, geminihook.ErrPayload, "not a JSON object"},
		{"empty body", webhooktest.NewBody(nil, signer), 400, geminihook.ErrPayload, "not a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &hookedStore{}
			rc := newReceiver(t, &geminihook.Endpoint{Store: store}, succeed)
			got := rc.send(t, tt.delivery)
			out := rc.next()
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.status, out.Status)
			assert.Equal(t, http.StatusText(tt.status)+"\n", got.body, "nothing but the status")
			assert.Empty(t, got.header.Get("Retry-After"))
			assert.Equal(t, geminihook.Rejected, out.Result)
			require.ErrorIs(t, out.Err, tt.err)
			assert.Nil(t, out.Event)
			assert.Contains(t, rc.log(), tt.log)
			assert.Contains(t, rc.log(), "result=rejected")
			assert.Zero(t, rc.of(tt.delivery.ID()))
			assert.Zero(t, store.calls.Load())
			assertNoSecrets(t, rc.log(), tt.delivery)
		})
	}
}

// assertNoSecrets: neither a secret nor the signature nor the body is in the text.
func assertNoSecrets(t *testing.T, text string, d *webhooktest.Delivery) {
	t.Helper()
	assert.NotContains(t, text, webhooktest.TestSecret[12:])
	assert.NotContains(t, text, "results.jsonl")
	if signature := d.Header.Get("webhook-signature"); signature != "" {
		assert.NotContains(t, text, signature)
	}
}

func TestMethods(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"} {
		t.Run(method, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{}, succeed)
			d := newBatch()
			req, err := d.ClientRequest(rc.url)
			require.NoError(t, err)
			req.Method = method
			got := rc.do(t, req)
			assert.Equal(t, 405, got.status)
			assert.Equal(t, "POST", got.header.Get("Allow"))
			require.ErrorIs(t, rc.next().Err, geminihook.ErrMethod)
			assert.Zero(t, rc.of(d.ID()))
		})
	}
}

// TestFunctionErrors: what the function returns decides about the response and
// about the next attempt.
func TestFunctionErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fnErr  error
		status int
		result geminihook.Result
		runs   int // of two deliveries
	}{
		{"nil", nil, 200, geminihook.Processed, 1},
		{"error", errDisk, 500, geminihook.Failed, 2},
		{"Permanent", geminihook.Permanent(errDisk), 200, geminihook.Dropped, 1},
		{"wrapped Permanent", fmt.Errorf("row 7: %w", geminihook.Permanent(errDisk)), 200, geminihook.Dropped, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{}, failWith(tt.fnErr))
			d := newBatch()
			got := rc.send(t, d)
			out := rc.next()
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.result, out.Result)
			if tt.fnErr == nil {
				require.NoError(t, out.Err)
				assert.Empty(t, got.body)
			} else {
				require.ErrorIs(t, out.Err, errDisk)
				assert.Contains(t, rc.log(), "disk full")
			}
			assert.Contains(t, rc.log(), "result="+string(tt.result))
			assert.Equal(t, tt.status, rc.send(t, d).status)
			assert.Equal(t, tt.runs, rc.of(d.ID()))
		})
	}
}

// TestUnknownType: no event is lost because its type is new.
func TestUnknownType(t *testing.T) {
	rc := newReceiver(t, &geminihook.Endpoint{}, succeed)
	d := webhooktest.New("batch.paused", signer)
	assert.Equal(t, 200, rc.send(t, d).status)
	assert.Equal(t, 1, rc.of(d.ID()))
}

// TestVerifierErrors: an error that does not refuse the delivery means 503, and no
// error of a Verifier ever means 200.
func TestVerifierErrors(t *testing.T) {
	down := errors.New("the database of secrets is down")
	fails := func(err error) geminihook.Verifier { return fixedVerifier{err: err} }
	wrong := fails(geminihook.ErrSignature)
	joined := errors.Join(geminihook.ErrHeader, geminihook.Permanent(down))
	for _, tt := range []struct {
		name     string
		verifier geminihook.Verifier
		status   int
	}{
		{"plain", fails(down), 503},
		{"last of AnyOf", geminihook.AnyOf(wrong, fails(down)), 503},
		{"first of AnyOf", geminihook.AnyOf(fails(down), wrong), 503},
		{"in nested AnyOf", geminihook.AnyOf(wrong, geminihook.AnyOf(fails(down))), 503},
		{"another accepts", geminihook.AnyOf(fails(down), newVerifier(t)), 200},
		{"the status of another refusal", fails(geminihook.ErrForbidden), 503},
		{"context ended", fails(context.DeadlineExceeded), 503},
		{"Permanent", fails(geminihook.Permanent(down)), 503},
		{"wrapped Permanent", fails(fmt.Errorf("tenant 7: %w", geminihook.Permanent(down))), 503},
		{"Permanent refusal", fails(geminihook.Permanent(geminihook.ErrSignature)), 503},
		{"refusal joined with Permanent", fails(joined), 503},
		{"ErrPermanent itself", fails(geminihook.ErrPermanent), 503},
		{"Permanent in AnyOf", geminihook.AnyOf(wrong, fails(geminihook.Permanent(down))), 503},
		{"refusal", fails(fmt.Errorf("unknown tenant: %w", geminihook.ErrSignature)), 400},
		{"refusal in AnyOf", geminihook.AnyOf(wrong, fails(geminihook.ErrTimestamp)), 400},
		{"nil KeySet", (*geminihook.KeySet)(nil), 503},
		{"nil HMAC", (*geminihook.HMAC)(nil), 503},
		{"nil Ed25519", (*geminihook.Ed25519)(nil), 503},
		{"HMAC without secrets", &geminihook.HMAC{}, 503},
		{"AnyOf nothing", geminihook.AnyOf(), 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{Verifier: tt.verifier}
			rc := newReceiver(t, e, succeed)
			d := newBatch()
			got := rc.send(t, d)
			out := rc.next()
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.status == 503, got.header.Get("Retry-After") != "")
			assert.Equal(t, tt.status == 503, errors.Is(out.Err, geminihook.ErrUnavailable))
			assert.Equal(t, tt.status == 200, rc.of(d.ID()) == 1)

			ev, err := e.Receive(httptest.NewRecorder(), d.Request("/"))
			assert.Equal(t, tt.status, geminihook.StatusCode(err))
			assert.Equal(t, tt.status == 200, ev != nil)
		})
	}
}

// TestVerifierAccepts: a Verifier that accepts anything does not lift the rules
// for headers.
func TestVerifierAccepts(t *testing.T) {
	rc := newReceiver(t, &geminihook.Endpoint{Verifier: fixedVerifier{}}, succeed)
	d := newBatch()
	d.Header.Set("webhook-id", strings.Repeat("x", 257))
	assert.Equal(t, 400, rc.send(t, d).status)
	require.ErrorIs(t, rc.next().Err, geminihook.ErrHeader)
}

// TestAuthorize: only an error that says so refuses or ignores an event.
func TestAuthorize(t *testing.T) {
	down := errors.New("the list of jobs is away")
	wrapped := fmt.Errorf("nobody's job: %w", geminihook.ErrForbidden)
	for _, tt := range []struct {
		name   string
		err    error
		status int
		result geminihook.Result
		level  string
	}{
		{"nil", nil, 200, geminihook.Processed, "INFO"},
		{"ErrForbidden", wrapped, 403, geminihook.Forbidden, "WARN"},
		{"ErrForbidden and ErrStore", errors.Join(wrapped, geminihook.ErrStore), 403, geminihook.Forbidden, "WARN"},
		{"Permanent", geminihook.Permanent(down), 200, geminihook.Ignored, "INFO"},
		{"Permanent ErrForbidden", geminihook.Permanent(wrapped), 200, geminihook.Ignored, "INFO"},
		{"Permanent ErrStore", geminihook.Permanent(geminihook.ErrStore), 200, geminihook.Ignored, "INFO"},
		{"any other", down, 503, geminihook.Unavailable, "ERROR"},
		{"ErrStore", geminihook.ErrStore, 503, geminihook.Unavailable, "ERROR"},
		{"ErrSignature", geminihook.ErrSignature, 503, geminihook.Unavailable, "ERROR"},
		{"context ended", context.Canceled, 503, geminihook.Unavailable, "ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &hookedStore{}
			e := &geminihook.Endpoint{Store: store, Authorize: failWith(tt.err)}
			rc := newReceiver(t, e, succeed)
			d := newBatch()
			got := rc.send(t, d)
			out := rc.next()
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.result, out.Result)
			unavailable := tt.result == geminihook.Unavailable
			assert.Equal(t, unavailable, errors.Is(out.Err, geminihook.ErrUnavailable))
			assert.Contains(t, rc.log(), "level="+tt.level)
			assert.Equal(t, d.ID(), out.Event.ID, "the event is known, because it is genuine")
			if tt.err == nil {
				return
			}
			require.ErrorIs(t, out.Err, tt.err)
			assert.Zero(t, rc.of(d.ID()))
			assert.Zero(t, store.calls.Load(), "nothing is claimed")

			ev, err := e.Receive(httptest.NewRecorder(), d.Request("/"))
			assert.Nil(t, ev, "Receive asks Authorize, too")
			assert.Equal(t, tt.status, geminihook.StatusCode(err))
		})
	}
}

package geminihook_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"unsafe"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

func TestReceive(t *testing.T) {
	store := &hookedStore{}
	e := &geminihook.Endpoint{Verifier: newVerifier(t), Store: store}
	d := newBatch()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	assert.Equal(t, 202, s.send(t, d).status)
	assert.Equal(t, 400, s.send(t, d.Tampered()).status)
	assert.Zero(t, store.calls.Load())
}

// borrow moves the header's values to memory that overwrite changes, as servers do
// that reuse the memory of a request (adapters for fasthttp).
func borrow(header http.Header) (overwrite func()) {
	var memory [][]byte
	for _, values := range header {
		for i, value := range values {
			b := []byte(value)
			values[i] = unsafe.String(unsafe.SliceData(b), len(b))
			memory = append(memory, b)
		}
	}
	return func() {
		for _, b := range memory {
			copy(b, bytes.Repeat([]byte("X"), len(b)))
		}
	}
}

// TestBorrowedMemory: an event and an outcome stay as they are when the server
// uses the request's memory for the next one.
func TestBorrowedMemory(t *testing.T) {
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		result   geminihook.Result
	}{
		{"genuine", newBatch(), geminihook.Processed},
		{"forged", newBatch().WrongSecret(), geminihook.Rejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{}
			o := observe(t, e)
			var kept string
			h := e.Handler(func(_ context.Context, ev *geminihook.Event) error {
				kept = ev.ID
				return nil
			})
			r := tt.delivery.Request("/")
			overwrite := borrow(r.Header)
			h.ServeHTTP(httptest.NewRecorder(), r)
			out := o.next()
			overwrite()
			assert.NotEqual(t, tt.delivery.ID(), r.Header.Get("webhook-id"))
			assert.Equal(t, tt.result, out.Result)
			assert.Equal(t, tt.delivery.ID(), out.ID)
			if out.Event != nil {
				assert.Equal(t, tt.delivery.ID(), out.Event.ID)
				assert.Equal(t, tt.delivery.ID(), kept)
				assert.Equal(t, "whsec_...MDAx", out.Event.Proof.KeyName)
			}
		})
	}
}

// TestOutcomeOfRequest: an outcome has the request's header, and the body if it was
// read completely.
func TestOutcomeOfRequest(t *testing.T) {
	noID := newBatch()
	noID.Header.Del("webhook-id")
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		body     bool
	}{
		{"processed", newBatch(), true},
		{"forged", newBatch().WrongSecret(), true},
		{"stale", newBatch().Stale(), true},
		{"not JSON", webhooktest.NewBody([]byte("hello"), signer), true},
		{"refused for its headers", noID, false},
		{"too large", newBatch().Oversized(1 << 20), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{}, succeed)
			rc.send(t, tt.delivery)
			out := rc.next()
			signature := tt.delivery.Header["Webhook-Signature"]
			assert.Equal(t, signature, out.Header["Webhook-Signature"])
			if tt.body {
				assert.Equal(t, tt.delivery.Body, out.Body)
			} else {
				assert.Nil(t, out.Body)
			}
		})
	}
}

package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// TestBehindMiddleware: the handler behind the endpoint's middleware can have its
// body read.
func TestBehindMiddleware(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(receiver.Endpoint.Middleware(logBodies(function(receiver.Handle))))
	defer server.Close()
	receiver.Check(t, server.URL)
}

// function is an existing handler that reports errors by its status.
func function(fn func(context.Context, *geminihook.Event) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, _ := geminihook.FromContext(r.Context())
		if err := fn(r.Context(), ev); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

// TestWrongOrder shows that the warning in docs/deployment.md is true: every
// delivery is refused, and the log says why.
func TestWrongOrder(t *testing.T) {
	receiver := deliveries.New(t)
	var logs bytes.Buffer
	receiver.Endpoint.Logger = slog.New(slog.NewTextHandler(&logs, nil))
	server := httptest.NewServer(logBodies(routes(receiver.Endpoint, receiver.Handle)))
	genuine := receiver.Static(geminihook.EventBatchSucceeded)
	assert.Equal(t, http.StatusBadRequest, deliveries.Post(t, server.URL+"/gemini", genuine))
	assert.Zero(t, receiver.Runs(genuine))
	server.Close() // waits for the log
	assert.Regexp(t, `read 0 bytes of a request with Content-Length \d+`, logs.String())
}

// TestRestored: a middleware that puts the body back does no harm.
func TestRestored(t *testing.T) {
	receiver := deliveries.New(t)
	next := routes(receiver.Endpoint, receiver.Handle)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

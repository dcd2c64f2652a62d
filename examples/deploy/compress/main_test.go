package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/go-chi/chi/v5/middleware"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"gzhttp":           func(h http.Handler) http.Handler { return h }, // in routes
		"chi's Compress":   middleware.Compress(5),
		"compresses twice": func(h http.Handler) http.Handler { return middleware.Compress(5)(h) },
	} {
		t.Run(name, func(t *testing.T) {
			receiver := deliveries.New(t)
			server := httptest.NewServer(wrap(routes(receiver.Endpoint, receiver.Handle)))
			defer server.Close()
			receiver.Check(t, server.URL+"/gemini")
		})
	}
}

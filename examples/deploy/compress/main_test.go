package main

import (
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/go-chi/chi/v5/middleware"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// TestChi has the middleware of chi compress.
func TestChi(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(middleware.Compress(5)(receiver.Endpoint.Handler(receiver.Handle)))
	defer server.Close()
	receiver.Check(t, server.URL)
}

package main

import (
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/geminihook/geminihook/webhooktest"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// TestRoutes is the test that a user would write.
func TestRoutes(t *testing.T) {
	secret, runs := webhooktest.RandomSecret(), 0
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	handler := routes(endpoint, func(context.Context, *geminihook.Event) error {
		runs++
		return nil
	})
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret))
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		status   int
		runs     int // so far
	}{
		{"genuine", genuine, http.StatusOK, 1},
		{"duplicate", genuine, http.StatusOK, 1},
		{"forged", genuine.WrongSecret(), http.StatusBadRequest, 1},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, tt.delivery.Request("/gemini"))
		if w.Code != tt.status || runs != tt.runs {
			t.Errorf("%s: status %d after %d runs", tt.name, w.Code, runs)
		}
	}
}

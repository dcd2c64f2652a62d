package recorded_test

import (
	"context"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// TestUsual tests a handler with a genuine delivery, a duplicate, and a forged
// delivery.
func TestUsual(t *testing.T) {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error {
		runs++
		return nil
	})

	signer := webhooktest.Static(webhooktest.TestSecret)
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		status   int
		runs     int // of the function, so far
	}{
		{"genuine", genuine, 200, 1},
		{"duplicate", genuine, 200, 1},
		{"forged", genuine.WrongSecret(), 400, 1},
	} {
		status := webhooktest.Post(handler, tt.delivery)
		if status != tt.status || runs != tt.runs {
			t.Errorf("%s: status %d after %d runs", tt.name, status, runs)
		}
	}
}

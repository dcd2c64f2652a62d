package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle, time.Hour))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// TestSlowFunction has a function that runs until the timeout ends its context. The
// sender gets a 503, the event is completed, and the retry is a duplicate.
func TestSlowFunction(t *testing.T) {
	receiver := deliveries.New(t)
	started := make(chan string, 1)
	slow := func(ctx context.Context, ev *geminihook.Event) error {
		started <- ev.ID
		<-ctx.Done()
		return receiver.Handle(ctx, ev)
	}
	genuine := receiver.Static(geminihook.EventBatchSucceeded)
	for limit := 100 * time.Millisecond; ; limit *= 2 { // until the function begins before the timeout
		server := httptest.NewServer(routes(receiver.Endpoint, slow, limit))
		assert.Equal(t, http.StatusServiceUnavailable, deliveries.Post(t, server.URL+"/gemini", genuine))
		server.Close()
		select {
		case <-started:
		default:
			continue
		}
		break
	}
	server := httptest.NewServer(routes(receiver.Endpoint, slow, time.Hour))
	defer server.Close()
	assert.Eventually(t, func() bool {
		return deliveries.Post(t, server.URL+"/gemini", receiver.Retry(genuine)) == http.StatusOK
	}, time.Minute, 10*time.Millisecond, "the event is completed")
	assert.Equal(t, 1, receiver.Runs(genuine))
}

package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle, time.Hour))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// TestSlowFunction has a function that is still running when the time is over. The
// sender gets a 503, the event is completed, and the retry is a duplicate.
func TestSlowFunction(t *testing.T) {
	receiver := deliveries.New(t)
	var genuine *webhooktest.Delivery
	started := make(chan string, 100)
	// On a busy machine, the function may begin only after the timeout.
	for limit := 100 * time.Millisecond; len(started) == 0; limit *= 2 {
		genuine = receiver.Static(geminihook.EventBatchSucceeded)
		release := make(chan struct{})
		slow := func(ctx context.Context, ev *geminihook.Event) error {
			started <- ev.ID
			<-release
			return receiver.Handle(ctx, ev)
		}
		server := httptest.NewServer(routes(receiver.Endpoint, slow, limit))
		assert.Equal(t, http.StatusServiceUnavailable,
			deliveries.Post(t, server.URL+"/gemini", genuine))
		close(release)
		server.Close()
	}
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle, time.Hour))
	defer server.Close()
	require.Eventually(t, func() bool {
		return deliveries.Post(t, server.URL+"/gemini", receiver.Retry(genuine)) == http.StatusOK
	}, time.Minute, 10*time.Millisecond)
	assert.Equal(t, 1, receiver.Runs(genuine), "the retry is a duplicate")
}

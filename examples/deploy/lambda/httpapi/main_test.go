package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/geminihook/geminihook/examples/deploy/internal/gateway"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) {
	deliveries.NeedsSecret(t, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1")
}

func TestDeliveries(t *testing.T) {
	for name, base64 := range map[string]bool{"text": false, "base64": true} {
		t.Run(name, func(t *testing.T) {
			receiver := deliveries.New(t)
			adapter := httpadapter.NewV2(routes(receiver.Endpoint, receiver.Handle))
			function := adapter.ProxyWithContext
			server := httptest.NewServer(&gateway.Gateway{
				Invoke: gateway.InProcess(function), Base64: base64,
			})
			defer server.Close()
			receiver.Check(t, server.URL+"/gemini")
		})
	}
}

// TestProgram has the program get a genuine and a forged delivery from the Runtime
// API.
func TestProgram(t *testing.T) {
	secret := webhooktest.RandomSecret()
	runtime := gateway.NewRuntime()
	defer runtime.Close()
	cmd := deliveries.Program(t, "AWS_LAMBDA_RUNTIME_API="+runtime.Address(),
		"GEMINI_WEBHOOK_SECRET="+secret)
	require.NoError(t, cmd.Start())
	server := httptest.NewServer(&gateway.Gateway{Invoke: runtime.Invoke})
	defer server.Close()
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret))
	assert.Equal(t, http.StatusOK, deliveries.Post(t, server.URL+"/gemini", genuine))
	assert.Equal(t, http.StatusBadRequest,
		deliveries.Post(t, server.URL+"/gemini", genuine.WrongSecret()))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

// TestDeadline: the function's context ends when Lambda would stop the function, or
// after RunTimeout, whichever is earlier.
func TestDeadline(t *testing.T) {
	for name, left := range map[string]time.Duration{
		"Lambda's time": time.Minute,
		"RunTimeout":    time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			receiver := deliveries.New(t)
			receiver.Endpoint.RunTimeout = 30 * time.Minute
			invoked, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			var deadline time.Time
			handle := func(ctx context.Context, _ *geminihook.Event) error {
				deadline, _ = ctx.Deadline()
				return nil
			}
			adapter := httpadapter.NewV2(routes(receiver.Endpoint, handle))
			function := gateway.InProcess(adapter.ProxyWithContext)
			invoke := func(_ context.Context, event []byte) ([]byte, error) {
				return function(invoked, event)
			}
			server := httptest.NewServer(&gateway.Gateway{Invoke: invoke})
			assert.Equal(t, http.StatusOK, deliveries.Post(t, server.URL+"/gemini",
				receiver.Static(geminihook.EventBatchSucceeded)))
			server.Close()
			end, _ := invoked.Deadline()
			if left < receiver.Endpoint.RunTimeout {
				assert.Equal(t, end, deadline)
				return
			}
			began := end.Add(-left)
			earliest := began.Add(receiver.Endpoint.RunTimeout)
			assert.WithinRange(t, deadline, earliest, time.Now().Add(receiver.Endpoint.RunTimeout))
		})
	}
}

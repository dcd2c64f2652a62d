package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

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
			function := httpadapter.New(routes(receiver.Endpoint, receiver.Handle)).ProxyWithContext
			server := httptest.NewServer(&gateway.Gateway{
				Invoke: gateway.InProcess(function), Base64: base64, REST: true,
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
	server := httptest.NewServer(&gateway.Gateway{Invoke: runtime.Invoke, REST: true})
	defer server.Close()
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret))
	assert.Equal(t, http.StatusOK, deliveries.Post(t, server.URL+"/gemini", genuine))
	assert.Equal(t, http.StatusBadRequest,
		deliveries.Post(t, server.URL+"/gemini", genuine.WrongSecret()))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
}

package main

import (
	"context"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/aws/aws-lambda-go/lambdaurl"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/geminihook/geminihook/examples/deploy/internal/gateway"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { deliveries.Main(m, program) }

// program is main. With PANIC in its environment, the function panics.
func program() {
	if os.Getenv("PANIC") == "" {
		main()
		return
	}
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal("GEMINI_WEBHOOK_SECRET: ", err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	lambdaurl.Start(routes(endpoint, func(context.Context, *geminihook.Event) error {
		panic("the function panics")
	}))
}

func TestNeedsSecret(t *testing.T) {
	deliveries.NeedsSecret(t, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1")
}

func TestDeliveries(t *testing.T) {
	for name, base64 := range map[string]bool{"text": false, "base64": true} {
		t.Run(name, func(t *testing.T) {
			receiver := deliveries.New(t)
			function := lambdaurl.Wrap(survive(routes(receiver.Endpoint, receiver.Handle)))
			server := httptest.NewServer(&gateway.Gateway{
				Invoke: gateway.InProcess(function), Base64: base64,
			})
			defer server.Close()
			receiver.Check(t, server.URL+"/gemini")
		})
	}
}

// survive recovers from a panic, which would end the test, too: lambdaurl calls the
// handler in a separate goroutine.
func survive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		next.ServeHTTP(w, r)
	})
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

// TestPanic: the endpoint sends a 500 before the panic ends the process. Otherwise
// lambdaurl would send a 200 first, and the event would be lost.
func TestPanic(t *testing.T) {
	secret := webhooktest.RandomSecret()
	runtime := gateway.NewRuntime()
	defer runtime.Close()
	cmd := deliveries.Program(t, "PANIC=1", "AWS_LAMBDA_RUNTIME_API="+runtime.Address(),
		"GEMINI_WEBHOOK_SECRET="+secret)
	require.NoError(t, cmd.Start())
	server := httptest.NewServer(&gateway.Gateway{Invoke: runtime.Invoke})
	defer server.Close()
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret))
	assert.Equal(t, http.StatusInternalServerError,
		deliveries.Post(t, server.URL+"/gemini", genuine))
	require.Error(t, cmd.Wait(), "the panic ends the process")
}

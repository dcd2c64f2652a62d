package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoutes(t *testing.T) {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	handler := routes(verifier)
	post := func(d *webhooktest.Delivery) int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/webhooks/gemini"))
		return w.Code
	}
	d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.TestSecret))
	assert.Equal(t, http.StatusNoContent, post(d))
	assert.Equal(t, http.StatusOK, post(d), "a duplicate does not reach the handler")
	assert.Equal(t, http.StatusBadRequest, post(d.Tampered()))
}

// TestRun checks that the program serves and shuts down, and that it refuses to
// start without a secret.
func TestRun(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	require.ErrorContains(t, run(t.Context(), listen(), ""), "GEMINI_WEBHOOK_SECRET")

	ctx, stop := context.WithCancel(t.Context())
	listener, ended := listen(), make(chan error, 1)
	go func() { ended <- run(ctx, listener, webhooktest.TestSecret) }()
	req, err := webhooktest.New(geminihook.EventBatchSucceeded,
		webhooktest.Static(webhooktest.TestSecret)).
		ClientRequest("http://" + listener.Addr().String() + "/webhooks/gemini")
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusNoContent, resp.StatusCode)
	stop()
	require.NoError(t, <-ended)
}

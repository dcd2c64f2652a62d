package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoutes(t *testing.T) {
	verifier, err := geminihook.NewHMAC(webhooktest.Secret)
	require.NoError(t, err)
	handler := routes(verifier)
	post := func(d *webhooktest.Delivery) int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/webhooks/gemini"))
		return w.Code
	}
	d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
	assert.Equal(t, http.StatusNoContent, post(d))
	assert.Equal(t, http.StatusOK, post(d), "a duplicate does not reach the handler")
	assert.Equal(t, http.StatusBadRequest, post(d.Tampered()))
}

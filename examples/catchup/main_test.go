package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOffline runs the program as a reader of the README does.
func TestOffline(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, func(string) string { return "" }))
	assert.True(t, strings.HasSuffix(out.String(), "\n300 jobs, 300 results, each once\n"),
		out.String())
	assert.Regexp(t, `interaction.incomplete +0 +20 +20`, out.String())
	assert.Regexp(t, `batch.succeeded +\d+ +\d+ +120`, out.String())
	t.Log("\n" + out.String())
}

// TestBadSecret: a secret that cannot be one ends the program.
func TestBadSecret(t *testing.T) {
	t.Chdir(t.TempDir())
	err := run(t.Context(), &strings.Builder{}, func(name string) string { return "short" })
	require.ErrorContains(t, err, "GEMINI_WEBHOOK_SECRET")
}

// TestOnline runs the program as with a key for the real API, at the address of a
// fake. The batch ends with a webhook.
func TestOnline(t *testing.T) {
	t.Chdir(t.TempDir())
	api := &fake{resources: map[string]any{
		"batches/b1": map[string]any{"name": "batches/b1", "metadata": map[string]any{"state": "BATCH_STATE_SUCCEEDED"}},
		"models/gemini-2.5-flash:batchGenerateContent": map[string]any{"name": "batches/b1"},
	}}
	server := httptest.NewServer(api)
	defer server.Close()
	t.Setenv("GOOGLE_GEMINI_BASE_URL", server.URL)
	port, err := testserver.FreePort()
	require.NoError(t, err)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	secret := webhooktest.RandomSecret()
	env := map[string]string{"GEMINI_API_KEY": "key", "GEMINI_WEBHOOK_SECRET": secret, "ADDR": addr}

	var out strings.Builder
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), &out, func(name string) string { return env[name] }) }()
	sender := &webhooktest.Sender{
		URL: "http://" + addr + "/gemini", Signers: []webhooktest.Signer{webhooktest.Static(secret)}, FirstRetry: 50 * time.Millisecond, MaxRetry: time.Second,
	}
	report, err := sender.Deliver(t.Context(), webhooktest.NewBody([]byte(`{"type":"batch.succeeded","data":{"id":"batches/b1"}}`)))
	require.NoError(t, err)
	assert.Len(t, report.Delivered, 1)
	require.NoError(t, <-ended)
	assert.Contains(t, out.String(), "\nswept: ")
	assert.True(t, strings.HasSuffix(out.String(), "\n1 jobs, 1 results, each once\n"),
		out.String())
}

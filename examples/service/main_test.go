package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestShutdown: after SIGTERM, the readiness probe fails first, while requests are
// still served, and then the program ends without an error.
func TestShutdown(t *testing.T) {
	var addrs [2]string
	for i := range addrs {
		port, err := testserver.FreePort()
		require.NoError(t, err)
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	secrets := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secrets, []byte(webhooktest.RandomSecret()), 0o600))
	env := map[string]string{
		"ADDR":                       addrs[0],
		"PRIVATE_ADDR":               addrs[1],
		"DATABASE_URL":               testserver.NewPostgres(t).URL,
		"GEMINI_API_KEY":             "none",
		"GEMINI_WEBHOOK_SECRET_FILE": secrets,
		"SHUTDOWN_DELAY":             "3s",
	}
	ctx, terminate := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, func(name string) string { return env[name] }) }()
	status := func(addr, path string) int {
		response, err := http.Get("http://" + addr + path)
		if err != nil {
			return 0
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	want := func(addr, path string, code int) {
		require.Eventually(t, func() bool { return status(addr, path) == code }, time.Minute,
			10*time.Millisecond)
	}
	want(addrs[1], "/readyz", http.StatusOK)
	terminate()
	want(addrs[1], "/readyz", http.StatusServiceUnavailable)
	want(addrs[0], "/gemini", http.StatusMethodNotAllowed) // it still responds
	assert.NoError(t, <-ended)
	assert.Zero(t, status(addrs[0], "/gemini"))
}

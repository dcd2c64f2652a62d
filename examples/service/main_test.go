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
	"github.com/stretchr/testify/require"
)

// TestShutdown: after SIGTERM, the readiness probe fails first, while requests are
// still served, and then the program ends without an error.
func TestShutdown(t *testing.T) {
	database := testserver.NewPostgres(t).URL
	// On a busy machine, the program can end between two looks at it.
	for delay := time.Second; !shutDown(t, database, delay.String()); delay *= 2 {
		require.Less(t, delay, time.Minute, "it was never seen unready and serving")
	}
}

// shutDown runs the program and terminates it. It reports whether it was seen unready
// and still serving.
func shutDown(t *testing.T, database, delay string) (seen bool) {
	t.Helper()
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
		"DATABASE_URL":               database,
		"GEMINI_API_KEY":             "none",
		"GEMINI_WEBHOOK_SECRET_FILE": secrets,
		"SHUTDOWN_DELAY":             delay,
	}
	ctx, terminate := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, func(name string) string { return env[name] }) }()
	is := func(addr, path string, code int) bool {
		response, err := http.Get("http://" + addr + path)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == code
	}
	require.Eventually(t, func() bool { return is(addrs[1], "/readyz", http.StatusOK) },
		time.Minute, 10*time.Millisecond)
	terminate()
	for {
		select {
		case err := <-ended:
			require.NoError(t, err)
			_, err = http.Get("http://" + addrs[0] + "/gemini")
			require.ErrorContains(t, err, "refused")
			return seen
		case <-time.After(10 * time.Millisecond):
			unready := is(addrs[1], "/readyz", http.StatusServiceUnavailable)
			serving := is(addrs[0], "/gemini", http.StatusMethodNotAllowed)
			seen = seen || (unready && serving)
		}
	}
}

package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestServer runs the program while a secret is being rotated.
func TestServer(t *testing.T) {
	old := webhooktest.RandomSecret()
	env := map[string]string{"GEMINI_WEBHOOK_SECRET": webhooktest.TestSecret + ", " + old, "ADDR": "127.0.0.1:0"}
	logs, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, slog.New(slog.NewTextHandler(w, nil)), func(name string) string {
			return env[name]
		})
		_ = w.Close()
	}()
	lines := make(chan string, 100)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := logs.Read(buf)
			if err != nil {
				close(lines)
				return
			}
			lines <- string(buf[:n])
		}
	}()
	url := regexp.MustCompile(`listening on (http://[^\s"]+)`).FindStringSubmatch(<-lines)[1]

	post := func(d *webhooktest.Delivery) int {
		req, err := d.ClientRequest(url)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	assert.Equal(t, 200,
		post(webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(old))))
	assert.Equal(t, 200, post(webhooktest.New(geminihook.EventInteractionCompleted,
		webhooktest.Static(webhooktest.TestSecret))))
	assert.Equal(t, 200,
		post(webhooktest.New("new.type", webhooktest.Static(webhooktest.TestSecret))))
	assert.Equal(t, 400, post(webhooktest.New(geminihook.EventBatchSucceeded,
		webhooktest.Static(old)).WrongSecret()))
	resp, err := http.Get(url[:len(url)-len("/webhooks/gemini")] + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, 200, resp.StatusCode)

	stop()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the server did not shut down")
	}
}

func TestServerWithoutSecret(t *testing.T) {
	err := run(t.Context(), slog.New(slog.DiscardHandler), func(string) string { return "" })
	require.ErrorContains(t, err, "GEMINI_WEBHOOK_SECRET: geminihook: secret is empty")
}

package main

import (
	"bufio"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { deliveries.Main(m, program) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// program is main. With SLOW in its environment, the function runs until SIGTERM.
func program() {
	if os.Getenv("SLOW") == "" {
		main()
		return
	}
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := run(func(ctx context.Context, ev *geminihook.Event) error {
		log.Print("the function is running")
		<-terminated.Done()
		log.Print("the function has seen SIGTERM")
		return handle(ctx, ev)
	})
	if err != nil {
		log.Fatal(err)
	}
}

// TestSIGTERM: a delivery whose function is running when SIGTERM arrives completes
// with 200, and then the process exits with status 0.
func TestSIGTERM(t *testing.T) {
	secret := webhooktest.RandomSecret()
	cmd := deliveries.Program(t, "SLOW=1", "PORT=0", "GEMINI_WEBHOOK_SECRET="+secret)
	logs, w := io.Pipe()
	cmd.Stderr = w
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(logs)
	port := waitFor(t, lines, `listening on .*:(\d+)$`)

	responses := make(chan int, 1)
	go func() {
		responses <- deliveries.Post(t, "http://127.0.0.1:"+port+"/gemini",
			webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret)))
	}()
	waitFor(t, lines, `(the function is running)`)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	waitFor(t, lines, `(the function has seen SIGTERM)`)
	go func() { _, _ = io.Copy(io.Discard, logs) }()
	assert.Equal(t, http.StatusOK, <-responses)
	require.NoError(t, cmd.Wait(), "exit status 0")
}

// waitFor returns the first group of the first line that matches.
func waitFor(t *testing.T, lines *bufio.Scanner, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for lines.Scan() {
		if m := re.FindStringSubmatch(lines.Text()); m != nil {
			return m[1]
		}
	}
	t.Fatalf("the program ended without a line that matches %q", pattern)
	return ""
}

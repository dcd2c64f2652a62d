package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// TestGoRun starts the program as in the README, with a NATS server in its
// process and with a separate one, and ends it. The secret that it makes is not
// the published one.
func TestGoRun(t *testing.T) {
	separate, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true,
	})
	require.NoError(t, err)
	separate.Start()
	defer separate.Shutdown()
	require.True(t, separate.ReadyForConnections(time.Minute))
	binary := build(t)
	for name, flags := range map[string][]string{
		"in process": {"-dir", t.TempDir()},
		"separate":   {"-nats", separate.ClientURL()},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary,
				append(flags, "-addr", "127.0.0.1:0")...)
			cmd.Env = append(os.Environ(), "GEMINI_WEBHOOK_SECRET=")
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var text strings.Builder
			for scan := bufio.NewScanner(stdout); scan.Scan(); {
				fmt.Fprintln(&text, scan.Text())
				if strings.HasPrefix(scan.Text(), "all events are handled") {
					break
				}
			}
			assert.Contains(t, text.String(), "acknowledged: 6 events in 12 attempts; messages in the stream: 6\n")
			assert.Equal(t, 6, strings.Count(text.String(), "  handled "), &text)
			assert.Contains(t, text.String(), "handled batch.succeeded, attempt 2,")
			_, url, _ := strings.Cut(text.String(), "listening on ")
			url, _, _ = strings.Cut(url, "\n")
			assert.Regexp(t, `^http://127\.0\.0\.1:\d+/gemini$`, url)
			published := webhooktest.Static(webhooktest.TestSecret)
			forged := webhooktest.New(geminihook.EventBatchFailed, published)
			assert.Equal(t, http.StatusBadRequest, post(t, url, forged))
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			require.NoError(t, cmd.Wait())
		})
	}
}

// post sends the delivery and returns the status of the response.
func post(t *testing.T, url string, d *webhooktest.Delivery) int {
	t.Helper()
	req, err := d.ClientRequest(url)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// TestKill kills the program and the NATS server in it at random, while a sender
// repeats its deliveries. Every event must be in the stream once, and be handled.
func TestKill(t *testing.T) {
	port, err := testserver.FreePort()
	require.NoError(t, err)
	addr, dir := fmt.Sprintf("127.0.0.1:%d", port), t.TempDir()
	binary, out := build(t), filepath.Join(t.TempDir(), "out")
	log, err := os.OpenFile(out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	var cmd *exec.Cmd
	start := func() {
		cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary, "-dir", dir, "-addr",
			addr)
		cmd.Env = append(os.Environ(), "GEMINI_WEBHOOK_SECRET="+webhooktest.TestSecret)
		cmd.Stdout = log
		require.NoError(t, cmd.Start())
	}
	kill := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	start()
	sender := &webhooktest.Sender{
		URL: "http://" + addr, Signers: []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)}, Duplicates: 0.3,
		FirstRetry: 100 * time.Millisecond, MaxRetry: time.Second, GiveUp: 2 * time.Minute,
	}
	const kills = 8
	var ids []string
	attempts := 0
	for range kills {
		wave := make([]*webhooktest.Delivery, 40)
		for i := range wave {
			wave[i] = webhooktest.New(geminihook.EventVideoGenerated)
			ids = append(ids, wave[i].ID())
		}
		ended := make(chan webhooktest.Report, 1)
		go func() {
			report, _ := sender.Deliver(t.Context(), wave...)
			ended <- report
		}()
		<-time.After(time.Duration(rand.IntN(60)) * time.Millisecond)
		kill()
		start()
		report := <-ended
		require.Empty(t, report.Lost)
		attempts += len(report.Attempts)
	}
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(out)
		return err == nil && strings.Count(string(b), "  handled ") >= len(ids)
	}, 3*time.Minute, 50*time.Millisecond)
	kill()

	js, stop, err := connect(options{dir: dir})
	require.NoError(t, err)
	defer stop()
	stream, err := openStream(t.Context(), js)
	require.NoError(t, err)
	var pending uint64 = 1
	// Events whose acknowledgement was lost are handed out again.
	require.Eventually(t, func() bool {
		w := &worker{fn: (&program{out: io.Discard, done: make(map[string]int)}).handle}
		stopWork, err := w.start(t.Context(), stream)
		require.NoError(t, err)
		<-time.After(200 * time.Millisecond)
		stopWork()
		consumer, err := stream.Consumer(t.Context(), "workers")
		require.NoError(t, err)
		info := consumer.CachedInfo()
		pending = info.NumPending + uint64(info.NumAckPending)
		return pending == 0
	}, 3*time.Minute, 100*time.Millisecond)
	seen := map[string]int{}
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		seen[msg.Header.Get(jetstream.MsgIDHeader)]++
	}
	for _, id := range ids {
		assert.Equal(t, 1, seen[id], id)
	}
	assert.Len(t, seen, len(ids))
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	t.Logf("events %d, attempts %d, processes killed %d; messages %d, handled %d times",
		len(ids), attempts, kills, info.State.Msgs, strings.Count(string(b), "  handled "))
}

// TestReceiver checks that a refused delivery does not reach the stream, and that
// the response is 503 if the stream is unavailable.
func TestReceiver(t *testing.T) {
	js := newServer(t)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	h := receiver(&geminihook.Endpoint{Verifier: verifier}, js)
	genuine := webhooktest.New(geminihook.EventVideoGenerated,
		webhooktest.Static(webhooktest.TestSecret))
	status := func(r *http.Request) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	assert.Equal(t, 503, status(genuine.Request("/")), "before the stream exists")
	stream, err := openStream(t.Context(), js)
	require.NoError(t, err)
	assert.Equal(t, 200, status(genuine.Request("/")))
	assert.Equal(t, 200, status(genuine.Request("/")), "a duplicate")
	assert.Equal(t, 400, status(genuine.WrongSecret().Request("/")))
	assert.Equal(t, 405, status(httptest.NewRequest(http.MethodGet, "/", nil)))
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, info.State.Msgs)
}

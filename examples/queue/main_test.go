package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGoRun starts the program as in the README, on both engines, looks at the web
// UI of the queue, and ends it. The secret that it makes is not the published
// one.
func TestGoRun(t *testing.T) {
	for name, database := range map[string][]string{
		"sqlite":   {"-sqlite", filepath.Join(t.TempDir(), "queue.db")},
		"postgres": {"-postgres", server.Postgres(t).URL},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "queue")
			build(t, program)
			cmd := exec.CommandContext(t.Context(), program,
				append(database, "-addr", "127.0.0.1:0", "-ui", "127.0.0.1:0")...)
			cmd.Env = append(os.Environ(), "GEMINI_WEBHOOK_SECRET=", "GEMINI_API_KEY=")
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var lines []string
			for scan := bufio.NewScanner(stdout); scan.Scan(); {
				lines = append(lines, scan.Text())
				if strings.HasPrefix(scan.Text(), "all jobs are done") {
					break
				}
			}
			text := strings.Join(lines, "\n")
			assert.Contains(t, text, "acknowledged: 6 events in 12 attempts")
			assert.Equal(t, 6, strings.Count(text, ", completed: "), text)
			_, ui, _ := strings.Cut(text, "the queue's web UI is at ")
			ui, _, _ = strings.Cut(ui, "\n")
			assert.Contains(t, get(t, ui+"/"), "<html")
			assert.Contains(t, get(t, ui+"/api/jobs?state=completed"), "gemini_result")
			_, url, _ := strings.Cut(text, "listening on ")
			url, _, _ = strings.Cut(url, "\n")
			assert.Regexp(t, `^http://127\.0\.0\.1:\d+/gemini$`, url)
			forged, err := webhooktest.New(geminihook.EventBatchFailed,
				webhooktest.Static(webhooktest.TestSecret)).ClientRequest(url)
			require.NoError(t, err)
			resp, err := http.DefaultClient.Do(forged)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			require.NoError(t, cmd.Wait())
		})
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	return string(b)
}

func TestBadSecret(t *testing.T) {
	o := options{
		sqlite: filepath.Join(t.TempDir(), "queue.db"), addr: "127.0.0.1:0", attempts: 1,
		timeout: time.Second,
	}
	err := run(t.Context(), io.Discard, o, func(name string) string {
		return map[string]string{"GEMINI_WEBHOOK_SECRET": "short"}[name]
	})
	require.ErrorContains(t, err, "GEMINI_WEBHOOK_SECRET")
}

// response is a ResponseWriter that keeps only the status.
type response struct {
	header http.Header
	status int
}

func newResponse() *response { return &response{header: make(http.Header)} }

func (r *response) Header() http.Header         { return r.header }
func (r *response) Write(b []byte) (int, error) { return len(b), nil }
func (r *response) WriteHeader(status int)      { r.status = status }

// BenchmarkResponse measures the 99th percentile of the response time while jobs
// of 10 seconds run, in turns with that of a function that does nothing.
func BenchmarkResponse(b *testing.B) {
	for name, o := range map[string]options{
		"sqlite":   {sqlite: filepath.Join(b.TempDir(), "queue.db")},
		"postgres": {postgres: server.Postgres(b).URL},
	} {
		b.Run(name, func(b *testing.B) {
			o.workers, o.attempts, o.timeout = 100, 3, time.Minute
			client, stop, err := newClient(b.Context(), "", 10*time.Second)
			require.NoError(b, err)
			defer stop()
			q, err := open(b.Context(), o, &worker{client: client})
			require.NoError(b, err)
			defer q.close()
			ctx, cancel := context.WithCancel(b.Context())
			require.NoError(b, q.start(ctx))
			verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
			require.NoError(b, err)
			empty := (&geminihook.Endpoint{Verifier: verifier, Transactor: q.transactor}).
				Handler(func(context.Context, *geminihook.Event) error { return nil })
			handlers := []http.Handler{empty, handler(q, verifier, nil)}
			took := make([][]time.Duration, len(handlers))
			for b.Loop() {
				for i, h := range handlers {
					r := webhooktest.New(geminihook.EventBatchSucceeded,
						webhooktest.Static(webhooktest.TestSecret)).Request("/")
					w, start := newResponse(), time.Now()
					h.ServeHTTP(w, r)
					took[i] = append(took[i], time.Since(start))
					require.Equal(b, http.StatusOK, w.status)
				}
				<-time.After(5 * time.Millisecond)
			}
			for i, name := range []string{"empty-p99-ms", "queued-p99-ms"} {
				slices.Sort(took[i])
				b.ReportMetric(took[i][len(took[i])*99/100].Seconds()*1000, name)
			}
			cancel()
			require.NoError(b, q.stopped())
		})
	}
}

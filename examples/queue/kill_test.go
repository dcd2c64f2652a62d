package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// TestKill kills processes that receive and work at random times, while a sender
// repeats its deliveries. Every event must be queued once, and every job must
// succeed. QUEUE_KILLS is the number of processes to kill.
func TestKill(t *testing.T) {
	kills, err := strconv.Atoi(cmp.Or(os.Getenv("QUEUE_KILLS"), "8"))
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "queue")
	build(t, program)
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue.db")
		kill(t, program, options{sqlite: file}, kills, "-sqlite", file)
	})
	t.Run("postgres", func(t *testing.T) {
		url := testserver.NewPostgres(t).URL
		kill(t, program, options{postgres: url}, kills, "-postgres", url)
	})
}

// build compiles this program.
func build(t *testing.T, program string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func kill(t *testing.T, program string, o options, kills int, database ...string) {
	var processes []*process
	for range 3 {
		port, err := testserver.FreePort()
		require.NoError(t, err)
		p := &process{addr: fmt.Sprintf("127.0.0.1:%d", port)}
		p.command = append([]string{
			program, "-addr", p.addr, "-ui", "", "-timeout", "2s", "-fake-delay", "20ms",
			"-workers", "4",
		}, database...)
		p.start(t)
		t.Cleanup(p.kill)
		processes = append(processes, p)
	}
	client := &http.Client{Timeout: 20 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	sender := &webhooktest.Sender{
		Handler: anyOf(client, processes), Signers: []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)},
		FirstRetry: 100 * time.Millisecond, MaxRetry: time.Second, GiveUp: 2 * time.Minute,
		Concurrency: 8, Duplicates: 0.3,
	}
	attempts := 0
	queued := map[string]bool{}
	for range kills { // with a wave of events each
		wave := make([]*webhooktest.Delivery, 20)
		for i := range wave {
			wave[i] = webhooktest.New(webhooktest.Types()[i%len(webhooktest.Types())])
			queued[wave[i].ID()] = true
		}
		ended := make(chan webhooktest.Report, 1)
		go func() {
			report, _ := sender.Deliver(t.Context(), wave...)
			ended <- report
		}()
		<-time.After(time.Duration(rand.IntN(60)) * time.Millisecond)
		p := processes[rand.IntN(len(processes))]
		p.kill()
		p.start(t)
		report := <-ended
		require.Empty(t, report.Lost)
		attempts += len(report.Attempts)
	}
	ran := 0
	jobs := finished(t, o, len(queued))
	for id, rows := range jobs {
		assert.True(t, queued[id], "a job without an event")
		assert.Len(t, rows, 1, "jobs of %s", id)
		assert.Equal(t, rivertype.JobStateCompleted, rows[0].State, id)
		ran += rows[0].Attempt
	}
	assert.Len(t, jobs, len(queued), "events that were acknowledged but not queued")
	t.Logf("events %d, deliveries %d, processes killed %d; jobs %d, each queued once and completed, in %d attempts",
		len(queued), attempts, kills, len(jobs), ran)
}

// finished waits until all jobs have ended, including those that have to be taken
// over from a killed process, and returns them by webhook-id.
func finished(t *testing.T, o options, want int) map[string][]*rivertype.JobRow {
	t.Helper()
	q, err := open(t.Context(), o, &worker{})
	require.NoError(t, err)
	defer q.close()
	jobs := map[string][]*rivertype.JobRow{}
	require.Eventually(t, func() bool {
		list, err := q.jobs(t.Context())
		if err != nil || len(list) < want {
			return false
		}
		clear(jobs)
		for _, row := range list {
			if row.FinalizedAt == nil {
				return false
			}
			var j job
			if json.Unmarshal(row.EncodedArgs, &j) != nil {
				return false
			}
			jobs[j.WebhookID] = append(jobs[j.WebhookID], row)
		}
		return true
	}, 3*time.Minute, 250*time.Millisecond, "jobs that do not end")
	return jobs
}

// process is the program as a user starts it.
type process struct {
	addr    string
	command []string
	cmd     *exec.Cmd
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), p.command[0], p.command[1:]...)
	p.cmd.Env = append(os.Environ(), "GEMINI_WEBHOOK_SECRET="+webhooktest.TestSecret, "GEMINI_API_KEY=")
	p.cmd.Stderr = os.Stderr
	require.NoError(t, p.cmd.Start())
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// anyOf forwards each request to one of the processes.
func anyOf(client *http.Client, processes []*process) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(context.WithoutCancel(r.Context()))
		out.RequestURI = ""
		out.URL.Scheme, out.URL.Host = "http", processes[rand.IntN(len(processes))].addr
		resp, err := client.Do(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		w.WriteHeader(resp.StatusCode)
	})
}

// TestDead checks that a job whose result does not exist ends at once, that a job
// that always fails ends after its last attempt, and that both stay in the
// database.
func TestDead(t *testing.T) {
	o := options{
		sqlite: filepath.Join(t.TempDir(), "queue.db"), workers: 4, attempts: 2,
		timeout: time.Minute,
	}
	client, stop, err := newClient(t.Context(), "", 0)
	require.NoError(t, err)
	defer stop()
	q, err := open(t.Context(), o, &worker{client: client})
	require.NoError(t, err)
	defer q.close()
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, q.start(ctx))
	defer func() {
		cancel()
		require.NoError(t, q.stopped())
	}()
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	h := handler(q, verifier, nil)
	for _, tt := range []struct {
		event geminihook.EventType
		id    string
		state rivertype.JobState
		tries int
	}{
		{geminihook.EventBatchSucceeded, "batches/fine", rivertype.JobStateCompleted, 0},
		{geminihook.EventBatchSucceeded, "batches/missing", rivertype.JobStateCancelled, 1},
		{geminihook.EventInteractionCompleted, "missing", rivertype.JobStateCancelled, 1},
		{geminihook.EventBatchSucceeded, "batches/broken", rivertype.JobStateDiscarded, 2},
		{"something.new", "new", rivertype.JobStateCompleted, 1},
	} {
		body, err := json.Marshal(map[string]any{"type": tt.event, "data": map[string]any{"id": tt.id}})
		require.NoError(t, err)
		d := webhooktest.NewBody(body, webhooktest.Static(webhooktest.TestSecret))
		for range 2 { // the second is a duplicate
			w := newResponse()
			h.ServeHTTP(w, d.Request("/"))
			require.Equal(t, http.StatusOK, w.status)
		}
		row, err := q.wait(t.Context(), d.ID())
		require.NoError(t, err)
		assert.Equal(t, tt.state, row.State, tt.id)
		if tt.tries > 0 {
			assert.Equal(t, tt.tries, row.Attempt, tt.id)
		}
	}
	jobs, err := q.jobs(t.Context())
	require.NoError(t, err)
	assert.Len(t, jobs, 5, "each event once")
}

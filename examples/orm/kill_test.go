package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With these variables in its environment, the test binary is the program.
const (
	nameVariable   = "ORM_TEST_DATABASE"
	addrVariable   = "ORM_TEST_ADDR"
	secretVariable = "ORM_TEST_SECRET"
)

func TestMain(m *testing.M) {
	// The tests, and the processes that they start, log neither the outcomes of events
	// nor that webhooktest's secret is published.
	slog.SetLogLoggerLevel(slog.LevelError)
	// The driver logs connections that break, as they do here.
	_ = mysql.SetLogger(log.New(io.Discard, "", 0))
	if addr := os.Getenv(addrVariable); addr != "" {
		program(os.Getenv(nameVariable), addr, os.Getenv(secretVariable))
		return
	}
	os.Exit(m.Run())
}

// program runs until the standard input ends, as it does with the test.
func program(name, addr, secret string) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := run(ctx, os.Stdout, name, addr, secret); err != nil {
		log.Fatal(err)
	}
}

// command returns the program, whose standard input must stay open.
func command(name, addr, secret string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nameVariable+"="+name, addrVariable+"="+addr,
		secretVariable+"="+secret)
	cmd.Stderr = os.Stderr
	return cmd
}

// testKill kills processes of the program at random times, while a sender for each
// library repeats its deliveries until they are acknowledged. Each event must have
// one row. ORM_KILLS is the number of processes to kill for each engine.
func testKill(t *testing.T, name string) {
	kills, err := strconv.Atoi(cmp.Or(os.Getenv("ORM_KILLS"), "7"))
	require.NoError(t, err)
	d := openDatabase(t, name)
	for _, lib := range libraries { // so that processes that start need not create tables
		openLibrary(t, d, lib.open)
	}
	processes := []*process{startProcess(t, name), startProcess(t, name)}
	client := &http.Client{Timeout: 20 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	sent := map[string][]string{} // ids by library
	attempts := 0
	for range kills {
		ended := make(chan map[string]webhooktest.Report, 1)
		go func() { ended <- deliverAll(t.Context(), anyOf(client, processes)) }()
		<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
		processes[rand.IntN(len(processes))].restart(t)
		for library, report := range <-ended {
			require.Empty(t, report.Lost, library)
			sent[library] = append(sent[library], report.Delivered...)
			attempts += len(report.Attempts)
		}
	}
	events := 0
	for _, lib := range libraries {
		want := map[string]int{}
		for _, id := range sent[lib.name] {
			want[id] = 1
		}
		assert.Equal(t, want, rowsByID(t, d, lib.name), lib.name)
		events += len(want)
	}
	t.Logf("processes killed %d, events %d, deliveries %d", kills, events, attempts)
}

// deliverAll delivers new events to each library.
func deliverAll(ctx context.Context, h http.Handler) map[string]webhooktest.Report {
	var mu sync.Mutex // guards reports
	reports := map[string]webhooktest.Report{}
	var senders sync.WaitGroup
	for _, lib := range libraries {
		deliveries := make([]*webhooktest.Delivery, 8)
		for i := range deliveries {
			deliveries[i] = webhooktest.New(geminihook.EventBatchSucceeded)
		}
		sender := &webhooktest.Sender{
			URL: "/" + lib.name, Handler: h, Concurrency: 2, Duplicates: 0.3,
			Signers:    []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)},
			FirstRetry: 50 * time.Millisecond, MaxRetry: time.Second, GiveUp: 2 * time.Minute,
		}
		senders.Go(func() {
			report, _ := sender.Deliver(ctx, deliveries...) // an error means that some are lost
			mu.Lock()
			defer mu.Unlock()
			reports[lib.name] = report
		})
	}
	senders.Wait()
	return reports
}

// process is the program as a user starts it.
type process struct {
	addr, database string
	cmd            *exec.Cmd
	stdin          io.Closer
}

func startProcess(t *testing.T, database string) *process {
	t.Helper()
	port, err := testserver.FreePort()
	require.NoError(t, err)
	p := &process{addr: fmt.Sprintf("127.0.0.1:%d", port), database: database}
	p.start(t)
	t.Cleanup(p.kill)
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = command(p.database, p.addr, webhooktest.TestSecret)
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	p.stdin = stdin
	require.NoError(t, p.cmd.Start())
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

func (p *process) restart(t *testing.T) {
	t.Helper()
	p.kill()
	p.start(t)
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

package chaos_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChaosCatchUp kills processes that receive and sweep, while a third of the
// events gets lost, a third is sent twice, and a third is delayed for more than a
// day. With a Transactor, the end of every job has exactly one effect. With a
// lease, it has at least one, and one more only for a process that was killed.
func TestChaosCatchUp(t *testing.T) {
	t.Parallel() // it waits for leases
	kills, err := strconv.Atoi(cmp.Or(os.Getenv("CHAOS_KILLS"), "4"))
	require.NoError(t, err)
	for _, kind := range []string{"postgres transactional", "sqlite transactional", "postgres", "sqlite"} {
		t.Run(kind, func(t *testing.T) { newSweeps(t, kind).run(t, kills) })
	}
}

// sweeps is the world around the processes.
type sweeps struct {
	kind      string
	ledger    *ledger
	api       *fakeapi.API
	clock     string // the file with the injected clock
	ahead     time.Duration
	processes []*receiver
	names     int
	killed    map[string]bool
	sender    *webhooktest.Sender
	jobs      []string
	sent      int // requests of the sender
}

func newSweeps(t *testing.T, kind string) *sweeps {
	clock := filepath.Join(t.TempDir(), "clock")
	s := &sweeps{kind: kind, api: &fakeapi.API{}, clock: clock, killed: map[string]bool{}}
	s.setForward(t, 0)
	server := httptest.NewServer(s.api)
	t.Cleanup(server.Close)
	url := s.open(t)
	for i := range 3 {
		s.processes = append(s.processes, newReceiver(t,
			kindVariable+"="+kind, urlVariable+"="+url, apiVariable+"="+server.URL,
			clockVariable+"="+s.clock))
		s.start(t, i)
		t.Cleanup(s.processes[i].kill)
	}
	client := &http.Client{Timeout: 2 * sweepLease}
	t.Cleanup(client.CloseIdleConnections)
	s.sender = &webhooktest.Sender{
		Handler:    s.forward(client),
		FirstRetry: 50 * time.Millisecond, MaxRetry: time.Second, GiveUp: 5 * time.Minute,
		Timeout: 2 * sweepLease, Concurrency: 16, Duplicates: 0.5, Reorder: true,
	}
	return s
}

// open makes the database and returns its URL.
func (s *sweeps) open(t *testing.T) (url string) {
	t.Helper()
	if engine, _, _ := strings.Cut(s.kind, " "); engine == "sqlite" {
		url = "file:" + filepath.Join(t.TempDir(), "chaos.db") +
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate"
		db, err := sql.Open("sqlite", url)
		require.NoError(t, err)
		defer db.Close()
		require.NoError(t, sqlstore.New(db, sqlstore.SQLite).Migrate(t.Context()))
	} else {
		url = testserver.NewPostgres(t).URL
		pool, err := pgxpool.New(t.Context(), url)
		require.NoError(t, err)
		defer pool.Close()
		require.NoError(t, pgstore.New(pool).Migrate(t.Context()))
	}
	var err error
	s.ledger, err = openLedger(t.Context(), s.kind, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.ledger.db.Close() })
	for _, table := range []string{
		"effects (id text, by_process text)",
		"jobs (id text PRIMARY KEY, kind text, created bigint)",
	} {
		_, err = s.ledger.db.ExecContext(t.Context(), "CREATE TABLE "+table)
		require.NoError(t, err)
	}
	return url
}

// setForward sets the injected clock forward.
func (s *sweeps) setForward(t *testing.T, by time.Duration) {
	t.Helper()
	s.ahead += by
	require.NoError(t, os.WriteFile(s.clock+".new", []byte(s.ahead.String()), 0o600))
	require.NoError(t, os.Rename(s.clock+".new", s.clock))
}

// start starts a process under a new name.
func (s *sweeps) start(t *testing.T, i int) {
	t.Helper()
	s.names++
	p := s.processes[i]
	p.name = fmt.Sprintf("p%d", s.names)
	p.start(t)
}

// kill kills a process that is up, and reports whether the one that it chose was.
func (s *sweeps) kill(t *testing.T) bool {
	t.Helper()
	i := rand.IntN(len(s.processes))
	if !s.processes[i].up() {
		return false
	}
	s.processes[i].kill()
	s.killed[s.processes[i].name] = true
	s.start(t, i)
	return true
}

// forward signs each request by the injected clock and sends it to one of the
// processes.
func (s *sweeps) forward(client *http.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d := webhooktest.NewBody(body)
		d.SetID(r.Header.Get("webhook-id"))
		d.Sign(shifted(s.clock), webhooktest.Static(webhooktest.TestSecret))
		out, err := d.ClientRequest("http://" + s.processes[rand.IntN(len(s.processes))].addr)
		if err != nil {
			panic(err)
		}
		response, err := client.Do(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
	})
}

// create writes a job and lets it end. Every second job is too young for a sweep
// until the clock is set forward.
func (s *sweeps) create(t *testing.T) string {
	t.Helper()
	id := fmt.Sprintf("batches/b%06d", len(s.jobs))
	created := shifted(s.clock).Add(-2 * grace * time.Duration(len(s.jobs)%2))
	s.api.Set(id, fakeapi.Batch(id, "BATCH_STATE_SUCCEEDED"))
	_, err := s.ledger.db.ExecContext(t.Context(),
		s.ledger.sql("INSERT INTO jobs VALUES ($1, $2, $3)"), id, "batch", created.UnixNano())
	require.NoError(t, err)
	s.jobs = append(s.jobs, id)
	return id
}

func (s *sweeps) run(t *testing.T, kills int) {
	var events, lost, late int
	for len(s.killed) < kills { // wave after wave of jobs
		var now, delayed []*webhooktest.Delivery
		for i := range 45 {
			const body = `{"type":"batch.succeeded","data":{"id":%q}}`
			d := webhooktest.NewBody(fmt.Appendf(nil, body, s.create(t)))
			events++
			switch i % 3 {
			case 0:
				now = append(now, d)
			case 1:
				delayed = append(delayed, d)
				late++
			default:
				lost++
			}
		}
		s.deliver(t, now)
		s.setForward(t, 25*time.Hour) // no sender tries for so long
		s.deliver(t, delayed)
	}
	left := -1
	require.Eventually(t, func() bool {
		row := s.ledger.db.QueryRowContext(t.Context(), "SELECT count(*) FROM jobs")
		require.NoError(t, row.Scan(&left))
		return left == 0
	}, 3*time.Minute, 100*time.Millisecond, "jobs that nobody handled")
	extra := s.check(t)
	requests, _ := s.api.Requests()
	t.Logf("%s: jobs %d, events lost %d, delivered late %d, requests of the sender %d, of the API %d, processes killed %d; missed 0, extra runs %d",
		s.kind, events, lost, late, s.sent, requests, len(s.killed), extra)
}

// deliver delivers until all is acknowledged, and kills some processes meanwhile.
func (s *sweeps) deliver(t *testing.T, deliveries []*webhooktest.Delivery) {
	t.Helper()
	ended := make(chan webhooktest.Report, 1)
	go func() {
		report, _ := s.sender.Deliver(t.Context(), deliveries...)
		ended <- report
	}()
	for left := 4; ; {
		select {
		case report := <-ended:
			require.Empty(t, report.Lost, "events that were never acknowledged")
			s.sent += len(report.Attempts)
			return
		case <-time.After(time.Duration(20+rand.IntN(150)) * time.Millisecond):
			if left > 0 && s.kill(t) {
				left--
			}
		}
	}
}

// check counts the effects of each job and returns how many there were too many.
func (s *sweeps) check(t *testing.T) (extra int) {
	t.Helper()
	rows, err := s.ledger.db.QueryContext(t.Context(), "SELECT id, by_process FROM effects")
	require.NoError(t, err)
	defer rows.Close()
	effects := map[string][]string{}
	for rows.Next() {
		var id, by string
		require.NoError(t, rows.Scan(&id, &by))
		effects[id] = append(effects[id], by)
	}
	require.NoError(t, rows.Err())
	assert.Len(t, effects, len(s.jobs))
	for _, id := range s.jobs {
		by := effects[id]
		alive := 0
		for _, process := range by {
			if !s.killed[process] {
				alive++
			}
		}
		extra += len(by) - 1
		assert.NotEmpty(t, by, "effects of %s", id)
		assert.LessOrEqual(t, alive, 1, "%s ran again although nobody was killed: %v", id, by)
		if strings.HasSuffix(s.kind, " transactional") {
			assert.Len(t, by, 1, "effects of %s", id)
		}
	}
	return extra
}

package chaos_test

import (
	"cmp"
	"fmt"
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
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChaosCatchUp kills processes that receive and sweep, while a third of the
// events gets lost, a third is delayed for more than a day, and half of the attempts
// are sent twice. That includes the events after which an interaction goes on, and
// those of jobs that the program does not know. The end of every job has exactly one
// effect in the program's database, and no event of another program's job is a 5xx.
func TestChaosCatchUp(t *testing.T) {
	t.Parallel() // it waits for leases
	kills, err := strconv.Atoi(cmp.Or(os.Getenv("CHAOS_KILLS"), "4"))
	require.NoError(t, err)
	for _, kind := range []string{
		"postgres" + transactional, "sqlite" + transactional, "sqlstore mysql" + transactional,
		"postgres", "sqlite",
	} {
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
	statuses  statuses
	tasks     []string
	lateIDs   []func() // each tells the table the id of a job
	foreign   int      // jobs of others
	sent      int      // requests of the sender
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
	switch name, _ := strings.CutSuffix(s.kind, transactional); name {
	case "sqlite":
		url = "file:" + filepath.Join(t.TempDir(), "chaos.db") +
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate"
	case "sqlstore mysql":
		url = testserver.NewMySQL(t).URL
	default:
		url = testserver.NewPostgres(t).URL
	}
	var err error
	s.ledger, err = openLedger(t.Context(), s.kind, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.ledger.db.Close() })
	s.ledger.migrate(t, s.kind, url)
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

// run makes wave after wave of jobs. In each of them, a third of the events is
// delivered, a third comes a day later, and a third is lost.
func (s *sweeps) run(t *testing.T, kills int) {
	var events, lost, late int
	for len(s.killed) < kills {
		now, delayed := s.wave(t)
		s.deliver(t, now)
		s.setForward(t, 25*time.Hour) // no sender tries for so long
		delayed = append(delayed, s.foreignEvents(shifted(s.clock))...)
		s.deliver(t, delayed)
		events += eventsPerWave
		late += eventsPerWave / 3
		lost += eventsPerWave / 3
	}
	assert.Eventually(t, func() bool { return s.ledger.waiting(t) == 0 }, 3*time.Minute,
		100*time.Millisecond, "jobs that nobody handled")
	extra := s.check(t)
	if t.Failed() {
		return
	}
	requests, _ := s.api.Requests()
	t.Logf("%s: jobs %d, events %d, lost %d, delivered late %d, of other jobs %d; requests of the sender %d, of the API %d; "+
		"503 before the id was known %d; processes killed %d; missed 0, extra effects 0, extra runs %d, 5xx for other jobs 0",
		s.kind, len(s.tasks), events, lost, late, s.foreign, s.sent, requests,
		s.statuses.early, len(s.killed), extra)
}

// deliver delivers until all is acknowledged. Meanwhile, it kills some processes, and
// tells the table the ids that it does not know yet.
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
			if len(s.lateIDs) > 0 {
				s.lateIDs[0]()
				s.lateIDs = s.lateIDs[1:]
			}
		}
	}
}

// check counts the effects of each task, and returns how many runs there were too many.
func (s *sweeps) check(t *testing.T) (extra int) {
	t.Helper()
	effects, runs := s.ledger.rows(t, "effects"), s.ledger.rows(t, "runs")
	if s.ledger.transactor != nil {
		runs = effects
	}
	assert.Len(t, effects, len(s.tasks))
	for _, task := range s.tasks {
		assert.Len(t, effects[task], 1, "effects of %s", task)
		alive := 0
		for _, process := range runs[task] {
			if !s.killed[process] {
				alive++
			}
		}
		assert.LessOrEqual(t, alive, 1, "%s ran again without a kill: %v", task, runs[task])
		extra += len(runs[task]) - 1
	}
	assert.Empty(t, s.statuses.foreign, "5xx for events of other jobs")
	s.ledger.table.Now = func() time.Time { return shifted(s.clock) }
	stale, err := s.ledger.table.Stale(t.Context())
	require.NoError(t, err)
	assert.Empty(t, stale)
	return extra
}

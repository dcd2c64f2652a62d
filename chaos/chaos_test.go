package chaos_test

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(kindVariable); kind != "" && os.Getenv(apiVariable) != "" {
		fmt.Fprintln(os.Stderr, sweep(kind))
		os.Exit(1)
	} else if kind != "" {
		fmt.Fprintln(os.Stderr, receive(kind))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// backend is the store's server, if it has one, behind a proxy.
type backend struct {
	url     string // for receivers
	server  *testserver.Server
	proxy   *testserver.Proxy
	effects func() map[string]int // runs whose writes were committed, by id; nil if there are none
}

// disturbances counts what was done to the receivers and the store.
type disturbances struct{ kills, restarts, cuts, hangs int }

// TestChaos: no event is lost, and with a Transactor each has its effect once. With
// a lease, no run begins beside one that is shorter than half of it. CHAOS_KILLS
// says how many receivers are killed.
func TestChaos(t *testing.T) {
	t.Parallel()
	kills, err := strconv.Atoi(cmp.Or(os.Getenv("CHAOS_KILLS"), "6"))
	require.NoError(t, err)
	for _, kind := range []string{"redis", "postgres", "postgres transactional", "sqlite", "sqlite transactional"} {
		t.Run(kind, func(t *testing.T) { chaos(t, kind, open(t, kind), kills) })
	}
}

func chaos(t *testing.T, kind string, b *backend, kills int) {
	journal := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, os.WriteFile(journal, nil, 0o600))
	receivers := make([]*receiver, 3)
	for i := range receivers {
		receivers[i] = newReceiver(t,
			kindVariable+"="+kind, urlVariable+"="+b.url, journalVariable+"="+journal)
		receivers[i].start(t)
		t.Cleanup(receivers[i].kill)
	}
	client := &http.Client{Timeout: 20 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	sender := &webhooktest.Sender{
		Handler:    balance(client, receivers),
		Signers:    []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)},
		FirstRetry: 50 * time.Millisecond, MaxRetry: time.Second, GiveUp: 2 * time.Minute,
		Concurrency: 24, Duplicates: 0.2, HangUps: 0.05, Reorder: true,
	}
	var done disturbances
	var ids []string
	attempts := 0
	for !done.enough(b, kills) { // wave after wave of events
		wave := make([]*webhooktest.Delivery, 100)
		for i := range wave {
			wave[i] = webhooktest.New(geminihook.EventBatchSucceeded)
			ids = append(ids, wave[i].ID())
		}
		ended := make(chan webhooktest.Report, 1)
		go func() {
			report, _ := sender.Deliver(t.Context(), wave...)
			ended <- report
		}()
		report, delivering := webhooktest.Report{}, true
		for delivering {
			select {
			case report = <-ended:
				delivering = false
			case <-time.After(time.Duration(20+rand.IntN(150)) * time.Millisecond):
				if !done.enough(b, kills) {
					done.disturb(t, b, receivers)
				}
			}
		}
		require.Empty(t, report.Lost, "events that were never acknowledged")
		attempts += len(report.Attempts)
	}
	runs := readJournal(t, journal)
	extra := 0
	for _, id := range ids {
		completed := runs[id]
		require.NotEmpty(t, completed, "the event %s was acknowledged but never ran to its end", id)
		extra += len(completed) - 1
		for i := 1; i < len(completed); i++ {
			earlier, later := completed[i-1], completed[i]
			if earlier.end-earlier.begin < int64(lease/2) {
				assert.GreaterOrEqual(t, later.begin, earlier.end, "two runs of %s at once", id)
			}
		}
	}
	if b.effects != nil {
		effects := b.effects()
		for _, id := range ids {
			assert.Equal(t, 1, effects[id], "effects of %s", id)
		}
		assert.Len(t, effects, len(ids))
	}
	t.Logf("%s: events %d, attempts %d, receivers killed %d, store restarts %d, cuts %d, hangs %d; lost 0, extra runs %d",
		kind, len(ids), attempts, done.kills, done.restarts, done.cuts, done.hangs, extra)
}

// enough reports whether there were so many kills, and each other disturbance
// that the backend can have.
func (d *disturbances) enough(b *backend, kills int) bool {
	return d.kills >= kills && (b.server == nil || min(d.restarts, d.cuts, d.hangs) > 0)
}

// disturb does one thing: mostly it kills a receiver, which starts again at
// once.
func (d *disturbances) disturb(t *testing.T, b *backend, receivers []*receiver) {
	t.Helper()
	what := rand.IntN(6)
	if b.server == nil {
		what = 0
	}
	switch what {
	case 3:
		d.restarts++
		require.NoError(t, b.server.Kill())
		require.NoError(t, b.server.Start())
	case 4:
		d.cuts++
		b.proxy.Cut()
	case 5:
		d.hangs++
		release := b.proxy.Hold()
		<-time.After(200 * time.Millisecond)
		release()
	default:
		// On a slow machine, receivers that are still starting would never get up.
		if r := receivers[rand.IntN(len(receivers))]; r.up() {
			d.kills++
			r.kill()
			r.start(t)
		}
	}
}

// open starts the backend and makes its tables.
func open(t *testing.T, kind string) *backend {
	t.Helper()
	b := &backend{}
	name, transactional := strings.CutSuffix(kind, " transactional")
	switch name {
	case "redis":
		b.server = testserver.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	case "postgres":
		b.server = testserver.NewPostgres(t)
		pool, err := pgxpool.New(t.Context(), b.server.URL)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		require.NoError(t, pgstore.New(pool).Migrate(t.Context()))
		_, err = pool.Exec(t.Context(), "CREATE TABLE effects (id text)")
		require.NoError(t, err)
		b.effects = func() map[string]int {
			db, err := pgxpool.New(t.Context(), b.server.URL)
			require.NoError(t, err)
			defer db.Close()
			rows, err := db.Query(t.Context(), "SELECT id, count(*) FROM effects GROUP BY id")
			require.NoError(t, err)
			return count(t, rows.Next, rows.Scan)
		}
	case "sqlite":
		b.url = "file:" + filepath.Join(t.TempDir(), "chaos.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
		db, err := sql.Open("sqlite", b.url)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		require.NoError(t, sqlstore.New(db, sqlstore.SQLite).Migrate(t.Context()))
		_, err = db.ExecContext(t.Context(), "CREATE TABLE effects (id text)")
		require.NoError(t, err)
		b.effects = func() map[string]int {
			rows, err := db.QueryContext(t.Context(),
				"SELECT id, count(*) FROM effects GROUP BY id")
			require.NoError(t, err)
			defer rows.Close()
			return count(t, rows.Next, rows.Scan)
		}
	}
	if !transactional {
		b.effects = nil
	}
	if b.server != nil {
		b.proxy = testserver.NewProxy(t, b.server.Addr)
		b.url = strings.Replace(b.server.URL, b.server.Addr, b.proxy.Addr, 1)
	}
	return b
}

func count(t *testing.T, next func() bool, scan func(...any) error) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for next() {
		var id string
		var n int
		require.NoError(t, scan(&id, &n))
		counts[id] = n
	}
	return counts
}

// balance passes each request on to one of the receivers.
func balance(client *http.Client, receivers []*receiver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(context.WithoutCancel(r.Context()))
		out.RequestURI = ""
		out.URL.Scheme, out.URL.Host = "http", receivers[rand.IntN(len(receivers))].addr
		resp, err := client.Do(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
	})
}

type interval struct{ begin, end int64 } // in nanoseconds

// readJournal returns the runs that came to their end, by id, in their order.
func readJournal(t *testing.T, name string) map[string][]interval {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	begun := map[string]int64{}
	runs := map[string][]interval{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var what, id, run string
		var at int64
		_, err := fmt.Sscan(lines.Text(), &what, &id, &run, &at)
		require.NoError(t, err)
		switch {
		case what == "begin":
			begun[run] = at
		case begun[run] != 0:
			runs[id] = append(runs[id], interval{begin: begun[run], end: at})
		default:
			require.NoError(t, errors.New("an end without a beginning"))
		}
	}
	for _, all := range runs {
		slices.SortFunc(all, func(a, b interval) int { return cmp.Compare(a.begin, b.begin) })
	}
	return runs
}

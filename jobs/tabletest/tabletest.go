// Package tabletest tests jobs.Table with the drivers of the databases. It is a
// separate module, so that jobs requires none of them.
package tabletest

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Run runs all tests in worlds that open opens, in parallel.
func Run(t *testing.T, open func(t *testing.T) *World) {
	for name, test := range map[string]func(t *testing.T, open opener){
		"add":                  testAdd,
		"add at the same time": testAddAtTheSameTime,
		"created":              testCreated,
		"end":                  testEnd,
		"end rolled back":      testEndRolledBack,
		"migrate":              testMigrate,
		"waiting":              testWaiting,
		"waiting ends early":   testWaitingEndsEarly,
		"waiting fails":        testWaitingFails,
		"crash":                testCrash,
		"stale":                testStale,
		"purge":                testPurge,
		"authorize":            testAuthorize,
		"authorize fails":      testAuthorizeFails,
		"lost completion":      testLostCompletion,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// opener opens a world.
type opener func(t *testing.T) *World

// newWorld opens a world with an empty table.
func (open opener) newWorld(t *testing.T) *World {
	t.Helper()
	w := open(t)
	w.table.Now = w.now
	require.NoError(t, w.table.Migrate(t.Context()))
	return w
}

// World is a program's database with a Table in it.
type World struct {
	table      *jobs.Table
	transactor geminihook.Transactor
	// querier returns the store's transaction that a run has.
	querier func(ctx context.Context) (jobs.Querier, error)
	// begin begins a transaction of the program's own.
	begin func(t *testing.T) (tx jobs.Querier, commit, rollback func())
	close func()

	mu    sync.Mutex
	ahead time.Duration // of the clock
}

// dialects are those of sqlstore, as package jobs names them.
var dialects = map[sqlstore.Dialect]jobs.Dialect{
	sqlstore.SQLite:     jobs.SQLite,
	sqlstore.PostgreSQL: jobs.PostgreSQL,
	sqlstore.MySQL:      jobs.MySQL,
}

// WithSQL returns a world in a database that database/sql opens.
func WithSQL(t *testing.T, driver, dsn string, dialect sqlstore.Dialect) *World {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	db.SetMaxOpenConns(10)
	t.Cleanup(func() { _ = db.Close() })
	s := sqlstore.New(db, dialect)
	require.NoError(t, s.Migrate(t.Context()))
	return &World{
		table:      &jobs.Table{Dialect: dialects[dialect], DB: sqlstore.NewQuerier(db)},
		transactor: s,
		querier: func(ctx context.Context) (jobs.Querier, error) {
			tx, err := sqlstore.Tx(ctx)
			return sqlstore.NewQuerier(tx), err
		},
		begin: func(t *testing.T) (jobs.Querier, func(), func()) {
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			return sqlstore.NewQuerier(tx), func() { assert.NoError(t, tx.Commit()) },
				func() { assert.NoError(t, tx.Rollback()) }
		},
		close: func() { _ = db.Close() },
	}
}

// WithPgx returns a world in a database that pgx opens.
func WithPgx(t *testing.T, url string) *World {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := pgstore.New(pool)
	require.NoError(t, s.Migrate(t.Context()))
	return &World{
		table:      &jobs.Table{Dialect: jobs.PostgreSQL, DB: pgstore.NewQuerier(pool)},
		transactor: s,
		querier: func(ctx context.Context) (jobs.Querier, error) {
			tx, err := pgstore.Tx(ctx)
			return pgstore.NewQuerier(tx), err
		},
		begin: func(t *testing.T) (jobs.Querier, func(), func()) {
			tx, err := pool.Begin(t.Context())
			require.NoError(t, err)
			return pgstore.NewQuerier(tx), func() { assert.NoError(t, tx.Commit(t.Context())) },
				func() { assert.NoError(t, tx.Rollback(t.Context())) }
		},
		close: pool.Close,
	}
}

func (w *World) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *World) setForward(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += by
}

// start adds a task whose job has the id.
func (w *World) start(t *testing.T, task string, kind jobs.Kind, id string) {
	t.Helper()
	require.NoError(t, w.table.Add(t.Context(), w.table.DB, task, kind))
	require.NoError(t, w.table.Created(t.Context(), w.table.DB, task, id))
}

// waiting returns the ids of the jobs that the table waits for.
func (w *World) waiting(t *testing.T) []string {
	t.Helper()
	ids := []string{}
	for job, err := range w.table.Waiting(t.Context()) {
		require.NoError(t, err)
		ids = append(ids, job.ID)
	}
	return ids
}

// stale returns the tasks that are stale.
func (w *World) stale(t *testing.T) []string {
	t.Helper()
	tasks := []string{}
	list, err := w.table.Stale(t.Context())
	require.NoError(t, err)
	for _, job := range list {
		tasks = append(tasks, job.Task)
	}
	return tasks
}

// event decodes an event about a job.
func event(t testing.TB, typ geminihook.EventType, id string) *geminihook.Event {
	t.Helper()
	ev, err := geminihook.ParseUnverified(body(t, typ, id, time.Time{}))
	require.NoError(t, err)
	return ev
}

// body encodes an event about a job. A zero time is left out.
func body(t testing.TB, typ geminihook.EventType, id string, at time.Time) []byte {
	t.Helper()
	fields := map[string]any{"type": typ, "data": map[string]any{"id": id}}
	if !at.IsZero() {
		fields["timestamp"] = at
	}
	encoded, err := json.Marshal(fields)
	require.NoError(t, err)
	return encoded
}

var quiet = slog.New(slog.DiscardHandler)

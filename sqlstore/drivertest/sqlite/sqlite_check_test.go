package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettings(t *testing.T) {
	const (
		inMemory    = "in memory or temporary"
		journalMode = "write-ahead log"
		busyTimeout = "busy timeout"
	)
	for _, tt := range []struct {
		name, dsn string // of a file, unless dsn names another database
		pragma    string // executed on the pool
		want      string
	}{
		{name: "no settings", want: journalMode},
		{name: "no write-ahead log", dsn: "?_pragma=busy_timeout(5000)", want: journalMode},
		{name: "no busy timeout", dsn: "?_pragma=journal_mode(WAL)", want: busyTimeout},
		{
			name: "busy timeout of one connection", dsn: "?_pragma=journal_mode(WAL)",
			pragma: "PRAGMA busy_timeout = 5000", want: busyTimeout,
		},
		{name: "memory", dsn: ":memory:", want: inMemory},
		{name: "shared memory", dsn: "file::memory:?cache=shared", want: inMemory},
		{name: "temporary", dsn: "file:", want: inMemory},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := tt.dsn
			if dsn == "" || dsn[0] == '?' {
				dsn = "file:" + filepath.Join(t.TempDir(), "test.db") + dsn
			}
			db := drivertest.Connect(t, "sqlite", dsn)
			_, err := db.ExecContext(t.Context(), tt.pragma)
			require.NoError(t, err)
			store := sqlstore.New(db, sqlstore.SQLite)
			require.ErrorContains(t, store.Migrate(t.Context()), tt.want)
			require.ErrorContains(t, store.Check(t.Context()), tt.want)
		})
	}
}

// TestCheck tests that Check tries what a claim needs, and leaves nothing behind.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name, settings string
		unmigrated     bool
		want           string
	}{
		{name: "as documented"},
		{name: "read-only", settings: "&mode=ro", want: "readonly"},
		{name: "query-only", settings: "&_pragma=query_only(1)", want: "readonly"},
		{name: "no table", unmigrated: true, want: "call Migrate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "test.db")
			db := connect(t, file)
			require.NoError(t, db.PingContext(t.Context()))
			if !tt.unmigrated {
				_, db = open(t, file)
			}
			tested := drivertest.Connect(t, "sqlite", "file:"+file+modernc+tt.settings)
			err := sqlstore.New(tested, sqlstore.SQLite).Check(t.Context())
			if tt.want != "" {
				require.ErrorContains(t, err, tt.want)
				return
			}
			require.NoError(t, err)
			assert.Zero(t, rows(t, db))
		})
	}
}

// TestCheckWhileBusy tests that Check waits for a transaction that runs.
func TestCheckWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, db := newStore(t)
		defer func() { _ = db.Close() }()
		checked := make(chan error, 1)
		_, err := store.Transact(t.Context(), "msg_1", time.Hour, func(context.Context) error {
			go func() { checked <- store.Check(t.Context()) }()
			synctest.Wait()
			assert.Empty(t, checked)
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, <-checked)
	})
}

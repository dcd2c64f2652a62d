package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// The settings do not wait for the disk, as the servers of the tests do not.
const (
	modernc = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)"
	mattn   = "?_journal_mode=WAL&_busy_timeout=5000&_synchronous=NORMAL"
)

func TestModernc(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.SQLite("sqlite", modernc))
}

func TestMattn(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.SQLite("sqlite3", mattn))
}

func connect(t testing.TB, file string) *sql.DB {
	t.Helper()
	return drivertest.Connect(t, "sqlite", "file:"+file+modernc)
}

func open(t testing.TB, file string) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := connect(t, file)
	store := sqlstore.New(db, sqlstore.SQLite)
	require.NoError(t, store.Migrate(t.Context()))
	return store, db
}

func newStore(t testing.TB) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "test.db"))
}

func count(t testing.TB, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

package drivertest

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/require"
)

// SQLite returns a backend with the driver's settings, which begin with a question
// mark.
func SQLite(driver, settings string) Backend {
	return Backend{
		Dialect: sqlstore.SQLite,
		Open: func(t *testing.T) func(*testing.T) *sql.DB {
			file := filepath.Join(t.TempDir(), "test.db")
			return func(t *testing.T) *sql.DB { return Connect(t, driver, "file:"+file+settings) }
		},
		Insert: "INSERT INTO suite_writes VALUES (?)",
		Count:  "SELECT count(*) FROM suite_writes WHERE name = ?",
		Endings: map[string][]string{
			"COMMIT":                {"COMMIT"},
			"ROLLBACK":              {"ROLLBACK"},
			"COMMIT then BEGIN":     {"COMMIT", "BEGIN"},
			"ROLLBACK then BEGIN":   {"ROLLBACK", "BEGIN"},
			"COMMIT then SAVEPOINT": {"COMMIT", "BEGIN", "SAVEPOINT geminihook"},
		},
		Waits: true,
	}
}

// Connect opens a database that is closed when the test ends.
func Connect(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(10)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

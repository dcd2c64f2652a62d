package drivertest

import (
	"crypto/rand"
	"database/sql"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/require"
)

// MySQL returns a backend in databases of the server with the given data source
// name, which ends with the database test. All handles but the first have settings
// that change how values come back and how statements are understood.
func MySQL(dsn string) Backend {
	return Backend{
		Dialect: sqlstore.MySQL,
		Open: func(t *testing.T) func(*testing.T) *sql.DB {
			dsn := NewDatabase(t, dsn)
			return func(t *testing.T) *sql.DB {
				db := Connect(t, "mysql", dsn)
				dsn, _, _ = strings.Cut(dsn, "?")
				dsn += "?clientFoundRows=true&interpolateParams=true&sql_mode=ANSI_QUOTES"
				return db
			}
		},
		Gone:   func(t *testing.T) *sql.DB { return Connect(t, "mysql", silent(t, dsn)) },
		Insert: "INSERT INTO suite_writes VALUES (?)",
		Count:  "SELECT count(*) FROM suite_writes WHERE name = ?",
		Endings: map[string][]string{
			"BEGIN":                 {"BEGIN"},
			"COMMIT":                {"COMMIT"},
			"ROLLBACK":              {"ROLLBACK"},
			"COMMIT AND CHAIN":      {"COMMIT AND CHAIN"},
			"ROLLBACK AND CHAIN":    {"ROLLBACK AND CHAIN"},
			"COMMIT then BEGIN":     {"COMMIT", "BEGIN"},
			"ROLLBACK then BEGIN":   {"ROLLBACK", "BEGIN"},
			"COMMIT then SAVEPOINT": {"COMMIT", "BEGIN", "SAVEPOINT geminihook"},
			"CREATE TABLE":          {"CREATE TABLE IF NOT EXISTS suite_ddl (name INT)"},
			"CREATE VIEW":           {"CREATE OR REPLACE VIEW suite_view AS SELECT 1"},
			"autocommit":            {"SET autocommit = 0", "SET autocommit = 1"},
		},
	}
}

// NewDatabase creates a database, and returns its data source name.
func NewDatabase(t *testing.T, dsn string) string {
	t.Helper()
	database := "test_" + strings.ToLower(rand.Text())
	_, err := Connect(t, "mysql", dsn).ExecContext(t.Context(), "CREATE DATABASE "+database)
	require.NoError(t, err)
	return strings.TrimSuffix(dsn, "test") + database
}

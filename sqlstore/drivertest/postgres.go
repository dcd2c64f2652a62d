package drivertest

import (
	"crypto/rand"
	"database/sql"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/require"
)

// Postgres returns a backend in schemas of the server with the given URL.
func Postgres(driver, url string) Backend {
	return Backend{
		Dialect: sqlstore.PostgreSQL,
		Open: func(t *testing.T) func(*testing.T) *sql.DB {
			schema := NewSchema(t, driver, url)
			return func(t *testing.T) *sql.DB {
				return Connect(t, driver, url+"&search_path="+schema)
			}
		},
		// lib/pq does not look at the context while it connects.
		Gone: func(t *testing.T) *sql.DB {
			return Connect(t, driver, silent(t, url)+"&connect_timeout=1")
		},
		Aborts: true,
		Insert: "INSERT INTO suite_writes VALUES ($1)",
		Count:  "SELECT count(*) FROM suite_writes WHERE name = $1",
		Endings: map[string][]string{
			"COMMIT":                {"COMMIT"},
			"ROLLBACK":              {"ROLLBACK"},
			"COMMIT AND CHAIN":      {"COMMIT AND CHAIN"},
			"ROLLBACK AND CHAIN":    {"ROLLBACK AND CHAIN"},
			"COMMIT then BEGIN":     {"COMMIT", "BEGIN"},
			"ROLLBACK then BEGIN":   {"ROLLBACK", "BEGIN"},
			"COMMIT then SAVEPOINT": {"COMMIT", "BEGIN", "SAVEPOINT geminihook"},
		},
	}
}

// NewSchema creates a schema.
func NewSchema(t *testing.T, driver, url string) string {
	t.Helper()
	schema := "test_" + strings.ToLower(rand.Text())
	_, err := Connect(t, driver, url).ExecContext(t.Context(), "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	return schema
}

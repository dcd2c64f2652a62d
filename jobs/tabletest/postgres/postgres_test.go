package postgres_test

import (
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/jobs/tabletest"
	"github.com/geminihook/geminihook/sqlstore"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// newSchema creates a schema and returns a URL that leads to it.
func newSchema(t *testing.T) string {
	t.Helper()
	url := server.Postgres(t).URL
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	defer db.Close()
	schema := "test_" + strings.ToLower(rand.Text())
	_, err = db.ExecContext(t.Context(), "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	return url + "&search_path=" + schema
}

func TestPgstore(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) *tabletest.World {
		return tabletest.WithPgx(t, newSchema(t))
	})
}

func TestPgx(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) *tabletest.World {
		return tabletest.WithSQL(t, "pgx", newSchema(t), sqlstore.PostgreSQL)
	})
}

func TestPq(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) *tabletest.World {
		return tabletest.WithSQL(t, "postgres", newSchema(t), sqlstore.PostgreSQL)
	})
}

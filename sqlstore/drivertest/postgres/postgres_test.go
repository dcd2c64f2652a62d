package postgres_test

import (
	"os"
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func TestPgx(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Postgres("pgx", server.Postgres(t).URL))
}

func TestPq(t *testing.T) {
	t.Parallel()
	url := server.Postgres(t).URL + "&binary_parameters=yes"
	drivertest.Run(t, drivertest.Postgres("postgres", url))
}

package mysql_test

import (
	"crypto/rand"
	"database/sql"
	"io"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/jobs/tabletest"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) {
	// The driver logs connections that break, which some tests are about.
	_ = mysql.SetLogger(log.New(io.Discard, "", 0))
	os.Exit(server.Main(m))
}

// newDatabase creates a database and returns its data source name.
func newDatabase(t *testing.T) string {
	t.Helper()
	dsn := server.MySQL(t).URL
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer db.Close()
	database := "test_" + strings.ToLower(rand.Text())
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+database)
	require.NoError(t, err)
	return strings.TrimSuffix(dsn, "test") + database
}

func TestMySQL(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) *tabletest.World {
		return tabletest.WithSQL(t, "mysql", newDatabase(t), sqlstore.MySQL)
	})
}

// TestFoundRows has settings that change how affected rows are counted and how
// statements are understood.
func TestFoundRows(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) *tabletest.World {
		dsn := newDatabase(t) + "?clientFoundRows=true&interpolateParams=true&sql_mode=ANSI_QUOTES"
		return tabletest.WithSQL(t, "mysql", dsn, sqlstore.MySQL)
	})
}

// TestSnapshot: a task that another transaction has added since the caller's began is
// found, although the caller's cannot see it.
func TestSnapshot(t *testing.T) {
	db, err := sql.Open("mysql", newDatabase(t))
	require.NoError(t, err)
	defer db.Close()
	table := &jobs.Table{Dialect: jobs.MySQL, DB: sqlstore.NewQuerier(db)}
	require.NoError(t, table.Migrate(t.Context()))
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "SELECT * FROM geminihook_jobs")
	require.NoError(t, err)
	require.NoError(t, table.Add(t.Context(), table.DB, "a", jobs.KindBatch))
	err = table.Add(t.Context(), sqlstore.NewQuerier(tx), "a", jobs.KindBatch)
	require.ErrorIs(t, err, jobs.ErrTaskExists)
}

package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"testing"
	"time"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// plainConnector connects to SQLite with a driver that has none of the
// interfaces that database/sql calls optional.
type plainConnector struct{ dsn string }

func (c plainConnector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c plainConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	return struct{ driver.Conn }{conn}, err
}

// TestPlainDriver tests a driver that has little to offer.
func TestPlainDriver(t *testing.T) {
	b := drivertest.SQLite("sqlite", modernc)
	b.Open = func(t *testing.T) func(*testing.T) *sql.DB {
		file := filepath.Join(t.TempDir(), "test.db")
		return func(t *testing.T) *sql.DB {
			db := sql.OpenDB(plainConnector{"file:" + file + modernc})
			t.Cleanup(func() { _ = db.Close() })
			return db
		}
	}
	b.TestUse(t)
}

// TestCanceledRunKeepsConnection tests that the pool does not have to connect
// again after each run that took too long.
func TestCanceledRunKeepsConnection(t *testing.T) {
	store, db := newStore(t)
	db.SetMaxOpenConns(1)
	// A temporary table is that of the connection.
	_, err := db.ExecContext(t.Context(), "CREATE TEMP TABLE mine (id TEXT)")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = store.Transact(ctx, "msg_1", time.Hour, func(ctx context.Context) error {
		cancel()
		tx, _ := sqlstore.Tx(ctx)
		for { // until database/sql has noticed
			if _, err := tx.Exec("SELECT 1"); err != nil {
				return err
			}
		}
	})
	require.Error(t, err)
	assert.Zero(t, count(t, db, "SELECT count(*) FROM mine"))
}

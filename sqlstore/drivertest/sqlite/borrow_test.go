package sqlite_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
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

// TestSession tests that a function can do with its transaction what it could
// do with one of its own, with drivers that have much or little to offer.
func TestSession(t *testing.T) {
	for _, tt := range []struct {
		name string
		open func(dsn string) *sql.DB
	}{
		{"modernc", func(dsn string) *sql.DB {
			db, err := sql.Open("sqlite", dsn)
			require.NoError(t, err)
			return db
		}},
		{"without optional interfaces", func(dsn string) *sql.DB { return sql.OpenDB(plainConnector{dsn}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := tt.open("file:" + filepath.Join(t.TempDir(), "test.db") + modernc)
			t.Cleanup(func() { _ = db.Close() })
			store := sqlstore.New(db, sqlstore.SQLite)
			require.NoError(t, store.Migrate(t.Context()))
			_, err := db.ExecContext(t.Context(), "CREATE TABLE effects (id TEXT, at TIMESTAMP)")
			require.NoError(t, err)
			_, err = store.Transact(t.Context(), "msg_1", time.Hour, use)
			require.NoError(t, err)
			assert.Equal(t, 3, count(t, db, "SELECT count(*) FROM effects"))
			assert.Zero(t, db.Stats().InUse, "the connection is back in the pool")
			c, err := store.Claim(t.Context(), "msg_1", rand.Text(), time.Minute, time.Hour)
			require.NoError(t, err)
			assert.Equal(t, geminihook.Done, c.State)
		})
	}
}

// use writes three rows and reads them.
func use(ctx context.Context) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO effects VALUES (?, ?)")
	if err != nil {
		return err
	}
	if _, err := insert.ExecContext(ctx, "1", time.Now()); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, insert).ExecContext(ctx, "2", nil); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO effects VALUES (@id, @at)", sql.Named("id", "3"), sql.Named("at", time.Now())); err != nil {
		return err
	}
	rows, err := tx.Query("SELECT id FROM effects ORDER BY id")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
	}
	return rows.Err()
}

// TestPoolStaysClean tests that no connection goes back to the pool inside a
// transaction, however the run ended.
func TestPoolStaysClean(t *testing.T) {
	store, db := newStore(t)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE effects (id TEXT)")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	s := store
	for _, end := range []func(ctx context.Context, tx *sql.Tx, cancel func()) error{
		func(context.Context, *sql.Tx, func()) error { return assert.AnError },
		func(_ context.Context, _ *sql.Tx, cancel func()) error { cancel(); return nil },
		func(ctx context.Context, tx *sql.Tx, cancel func()) error {
			_, _ = tx.QueryContext(ctx, "SELECT * FROM effects")
			cancel()
			return ctx.Err()
		},
		func(ctx context.Context, tx *sql.Tx, _ func()) error {
			_, _ = tx.ExecContext(ctx, "ROLLBACK")
			return nil
		},
		func(_ context.Context, _ *sql.Tx, cancel func()) error { cancel(); panic("its own") },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		func() {
			defer func() { _ = recover() }()
			_, err := s.Transact(ctx, "msg_1", time.Hour, func(ctx context.Context) error {
				if err := insert(ctx, "msg_1"); err != nil {
					return err
				}
				tx, _ := sqlstore.Tx(ctx)
				return end(ctx, tx, cancel)
			})
			require.Error(t, err)
		}()
		cancel()
		assert.Zero(t, count(t, db, "SELECT count(*) FROM effects"))
		_, err := db.ExecContext(t.Context(), "BEGIN; ROLLBACK") // which fails inside a transaction
		require.NoError(t, err)
	}
}

// TestCanceledRunKeepsConnection tests that the pool does not have to connect
// again after each run that took too long.
func TestCanceledRunKeepsConnection(t *testing.T) {
	store, db := newStore(t)
	db.SetMaxOpenConns(1)
	_, err := db.ExecContext(t.Context(), "CREATE TEMP TABLE mine (id TEXT)") // which the connection has
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

package mysql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// open returns the database of a new store.
func open(t *testing.T) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := drivertest.Connect(t, "mysql", drivertest.NewDatabase(t, server.MySQL(t).URL))
	store := sqlstore.New(db, sqlstore.MySQL)
	require.NoError(t, store.Migrate(t.Context()))
	return store, db
}

func succeed(context.Context) error { return nil }

func execInTx(ctx context.Context, query string) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, query)
	return err
}

// TestSession tests that nothing a function changes on its connection keeps the
// store from marking the event, and the next calls on the same connection from
// working.
func TestSession(t *testing.T) {
	for _, statement := range []string{
		"USE mysql",
		"SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
		"SET SESSION sql_mode = ''",
		"SET NAMES latin1",
	} {
		t.Run(statement, func(t *testing.T) {
			store, db := open(t)
			db.SetMaxOpenConns(1)
			change := func(ctx context.Context) error { return execInTx(ctx, statement) }
			state, err := store.Transact(t.Context(), "msg_1", time.Hour, change)
			require.NoError(t, err)
			assert.Equal(t, geminihook.Acquired, state)
			c, err := store.Claim(t.Context(), "msg_1", "token", time.Minute, time.Hour)
			require.NoError(t, err)
			assert.Equal(t, geminihook.Done, c.State)
		})
	}
}

// TestReset tests that the connection goes back to the pool as it was, and that
// while the function runs, the server waits no longer than the context.
func TestReset(t *testing.T) {
	store, db := open(t)
	db.SetMaxOpenConns(1)
	_, err := db.ExecContext(t.Context(), "SET SESSION wait_timeout = 1234")
	require.NoError(t, err)
	isolation := isolationOf(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, own := range []error{nil, assert.AnError} {
		key := fmt.Sprint("msg_", own)
		_, err = store.Transact(ctx, key, time.Hour, func(ctx context.Context) error {
			tx, err := sqlstore.Tx(ctx)
			require.NoError(t, err)
			inside := number(t, tx, "SELECT @@SESSION.wait_timeout")
			assert.InDelta(t, 31, inside, 31, "of the minute, what remained")
			return own
		})
		require.ErrorIs(t, err, own)
		assert.Equal(t, 1234, number(t, db, "SELECT @@SESSION.wait_timeout"))
		assert.Equal(t, 1, number(t, db, "SELECT @@SESSION.autocommit"))
		assert.Equal(t, isolation, isolationOf(t, db))
		assert.Zero(t, number(t, db, "SELECT RELEASE_ALL_LOCKS()"))
	}
}

// isolationOf returns the isolation level of a session, whose variable has two names.
func isolationOf(t *testing.T, db queryer) (level string) {
	t.Helper()
	const query = "SHOW SESSION VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')"
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(new(string), &level))
	return level
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func number(t *testing.T, db queryer, query string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// TestIsolation tests that the function does not see the snapshot of an earlier
// time, whatever the database's default.
func TestIsolation(t *testing.T) {
	store, db := open(t)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE numbers (n INT)")
	require.NoError(t, err)
	_, err = store.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
		tx, err := sqlstore.Tx(ctx)
		require.NoError(t, err)
		for want := range 3 {
			assert.Equal(t, want, number(t, tx, "SELECT count(*) FROM numbers"))
			_, err := db.ExecContext(ctx, "INSERT INTO numbers VALUES (1)")
			require.NoError(t, err)
		}
		return nil
	})
	require.NoError(t, err)
}

// TestLongKey tests that a key is never cut off, which would make it another one.
func TestLongKey(t *testing.T) {
	dsn := drivertest.NewDatabase(t, server.MySQL(t).URL) + "?sql_mode=''"
	db := drivertest.Connect(t, "mysql", dsn)
	store := sqlstore.New(db, sqlstore.MySQL)
	require.NoError(t, store.Migrate(t.Context()))
	long := strings.Repeat("x", 1025)
	_, err := store.Claim(t.Context(), long, "token", time.Minute, time.Hour)
	require.ErrorContains(t, err, "1025 bytes")
	_, err = store.Transact(t.Context(), long, time.Hour, succeed)
	require.ErrorContains(t, err, "1025 bytes")
	_, err = store.Claim(t.Context(), long[1:], "token", time.Minute, time.Hour)
	require.NoError(t, err)
}

// TestTwoDatabases tests that the databases of one server have their own locks.
func TestTwoDatabases(t *testing.T) {
	one, _ := open(t)
	two, _ := open(t)
	state, err := one.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
		state, err := two.Transact(ctx, "msg_1", time.Hour, succeed)
		assert.Equal(t, geminihook.Acquired, state)
		return err
	})
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, state)
}

// TestPurgeSkipsLocked tests that Purge does not wait for a function that runs.
func TestPurgeSkipsLocked(t *testing.T) {
	store, db := open(t)
	for _, key := range []string{"a", "b"} {
		_, err := store.Claim(t.Context(), key, "token", time.Millisecond, time.Millisecond)
		require.NoError(t, err)
	}
	_, err := db.ExecContext(t.Context(), "UPDATE geminihook_deliveries SET expires = 1")
	require.NoError(t, err)
	_, err = store.Transact(t.Context(), "a", time.Hour, func(ctx context.Context) error {
		n, err := store.Purge(ctx, 0)
		assert.Equal(t, 1, n)
		return err
	})
	require.NoError(t, err)
}

func TestVanished(t *testing.T) {
	t.Parallel()
	dsn := drivertest.NewDatabase(t, server.MySQL(t).URL)
	proxy, proxied := drivertest.Proxied(t, dsn)
	drivertest.Vanished(t, sqlstore.MySQL, proxy,
		drivertest.Connect(t, "mysql", proxied), drivertest.Connect(t, "mysql", dsn))
}

// TestDeadlock tests that the store repeats a statement that the database gave up.
func TestDeadlock(t *testing.T) {
	dsn := drivertest.NewDatabase(t, server.MySQL(t).URL)
	config, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	connector, err := mysql.NewConnector(config)
	require.NoError(t, err)
	unlucky := &unluckyConnector{Connector: connector}
	db := sql.OpenDB(unlucky)
	defer func() { _ = db.Close() }()
	store := sqlstore.New(db, sqlstore.MySQL)
	require.NoError(t, store.Migrate(t.Context()))
	calls := map[string]func() error{
		"Claim": func() error {
			_, err := store.Claim(t.Context(), "a", "token", time.Minute, time.Hour)
			return err
		},
		"Transact": func() error {
			_, err := store.Transact(t.Context(), "b", time.Hour, succeed)
			return err
		},
		"Purge": func() error {
			_, err := store.Purge(t.Context(), 0)
			return err
		},
	}
	for name, call := range calls {
		unlucky.deadlocks.Store(3)
		require.NoError(t, call(), name)
		assert.Negative(t, unlucky.deadlocks.Load(), name)
	}
}

// unluckyConnector connects with a driver in which the next statements that lock a
// row meet a deadlock.
type unluckyConnector struct {
	driver.Connector
	deadlocks atomic.Int64
}

func (c *unluckyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return unluckyConn{Conn: conn, connector: c}, err
}

type unluckyConn struct {
	driver.Conn
	connector *unluckyConnector
}

func (c unluckyConn) meetsDeadlock(query string) error {
	locks := strings.Contains(query, "INSERT") || strings.Contains(query, "FOR UPDATE") ||
		strings.Contains(query, "EXECUTE")
	if locks && c.connector.deadlocks.Add(-1) >= 0 {
		return &mysql.MySQLError{Number: 1213, SQLState: [5]byte([]byte("40001"))}
	}
	return nil
}

func (c unluckyConn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Result, error) {
	if err := c.meetsDeadlock(query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c unluckyConn) QueryContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Rows, error) {
	if err := c.meetsDeadlock(query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c unluckyConn) Prepare(query string) (driver.Stmt, error) {
	stmt, err := c.Conn.Prepare(query)
	return unluckyStmt{Stmt: stmt, conn: c, query: query}, err
}

type unluckyStmt struct {
	driver.Stmt
	conn  unluckyConn
	query string
}

func (s unluckyStmt) ExecContext(
	ctx context.Context, args []driver.NamedValue,
) (driver.Result, error) {
	if err := s.conn.meetsDeadlock(s.query); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (c unluckyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
}

func TestRoundTrips(t *testing.T) {
	var trips testserver.RoundTrips
	mysql.RegisterDialContext("counted", func(ctx context.Context, addr string) (net.Conn, error) {
		return trips.Dial(ctx, "tcp", addr)
	})
	dsn := strings.Replace(drivertest.NewDatabase(t, server.MySQL(t).URL), "tcp", "counted", 1)
	want := map[string]int{
		"Claim": 1, "Renew": 1, "Complete": 1, "duplicate": 1, "Release": 1,
		"Transact": 7, "duplicate of Transact": 4,
	}
	db := drivertest.Connect(t, "mysql", dsn)
	drivertest.RoundTrips(t, db, sqlstore.MySQL, &trips, want)
}

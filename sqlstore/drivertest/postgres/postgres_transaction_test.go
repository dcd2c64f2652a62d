package postgres_test

import (
	"context"
	"database/sql"
	"net"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// open returns the database of a new store.
func open(t *testing.T) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := drivertest.Connect(t, "pgx", newDSN(t))
	store := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, store.Migrate(t.Context()))
	return store, db
}

// TestSession tests that nothing a function changes on its connection keeps the
// store from marking the event, and the next calls on the same connection from
// working.
func TestSession(t *testing.T) {
	for _, statement := range []string{
		"SET search_path = 'pg_catalog'",
		"SET LOCAL search_path = 'pg_catalog'",
		"SET standard_conforming_strings = off",
		"SET LOCAL idle_in_transaction_session_timeout = 0",
	} {
		t.Run(statement, func(t *testing.T) {
			store, db := open(t)
			db.SetMaxOpenConns(1)
			change := func(ctx context.Context) error {
				tx, err := sqlstore.Tx(ctx)
				if err != nil {
					return err
				}
				_, err = tx.ExecContext(ctx, statement)
				return err
			}
			state, err := store.Transact(t.Context(), "msg_1", time.Hour, change)
			require.NoError(t, err)
			assert.Equal(t, geminihook.Acquired, state)
			c, err := store.Claim(t.Context(), "msg_1", "token", time.Minute, time.Hour)
			require.NoError(t, err)
			assert.Equal(t, geminihook.Done, c.State)
		})
	}
}

// TestRefused tests that what the commit refuses is told as the function's fault.
func TestRefused(t *testing.T) {
	store, db := open(t)
	_, err := db.ExecContext(t.Context(), `CREATE TABLE parents (id int PRIMARY KEY);
		CREATE TABLE children (parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`)
	require.NoError(t, err)
	_, err = store.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO children VALUES (1)")
		return err
	})
	require.ErrorContains(t, err, "the commit was refused because of what the function wrote")
	require.NotErrorIs(t, err, geminihook.ErrStore)
}

// newDSN returns the data source name of a new schema.
func newDSN(t *testing.T) string {
	t.Helper()
	url := server.Postgres(t).URL
	return url + "&search_path=" + drivertest.NewSchema(t, "pgx", url)
}

func TestVanished(t *testing.T) {
	t.Parallel()
	dsn := newDSN(t)
	proxy, proxied := drivertest.Proxied(t, dsn)
	drivertest.Vanished(t, sqlstore.PostgreSQL, proxy,
		drivertest.Connect(t, "pgx", proxied), drivertest.Connect(t, "pgx", dsn))
}

func TestRoundTrips(t *testing.T) {
	want := map[string]int{
		"Claim": 1, "Renew": 1, "Complete": 1, "duplicate": 2, "Release": 1,
		"Transact": 2, "duplicate of Transact": 2,
	}
	t.Run("pgx", func(t *testing.T) {
		var trips testserver.RoundTrips
		config, err := pgx.ParseConfig(newDSN(t))
		require.NoError(t, err)
		config.DialFunc = trips.Dial
		db := stdlib.OpenDB(*config)
		defer func() { _ = db.Close() }()
		drivertest.RoundTrips(t, db, sqlstore.PostgreSQL, &trips, want)
	})
	t.Run("pq", func(t *testing.T) {
		var trips testserver.RoundTrips
		connector, err := pq.NewConnector(newDSN(t) + "&binary_parameters=yes")
		require.NoError(t, err)
		connector.Dialer(dialer{&trips})
		db := sql.OpenDB(connector)
		defer func() { _ = db.Close() }()
		drivertest.RoundTrips(t, db, sqlstore.PostgreSQL, &trips, want)
	})
}

type dialer struct{ trips *testserver.RoundTrips }

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return d.trips.Dial(context.Background(), network, addr)
}

func (d dialer) DialTimeout(network, addr string, _ time.Duration) (net.Conn, error) {
	return d.Dial(network, addr)
}

// TestSerializable tests a database whose default isolation level makes a statement
// fail that has waited for another one.
func TestSerializable(t *testing.T) {
	db := drivertest.Connect(t, "pgx", newDSN(t)+"&default_transaction_isolation=serializable")
	store := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, store.Migrate(t.Context()))
	_, err := store.Claim(t.Context(), "msg_1", "first", time.Minute, time.Hour)
	require.NoError(t, err)
	require.NoError(t, store.Release(t.Context(), "msg_1", "first"))

	other, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "UPDATE geminihook_deliveries SET attempt = 41")
	require.NoError(t, err)
	claimed := make(chan geminihook.Claim, 1)
	go func() {
		c, err := store.Claim(t.Context(), "msg_1", "second", time.Minute, time.Hour)
		assert.NoError(t, err)
		claimed <- c
	}()
	const waits = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN (
		SELECT pid FROM pg_locks WHERE relation = 'geminihook_deliveries'::regclass))`
	require.Eventually(t, func() bool {
		var waiting bool
		err := db.QueryRowContext(t.Context(), waits).Scan(&waiting)
		return err == nil && waiting
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, other.Commit())
	assert.Equal(t, geminihook.Claim{State: geminihook.Acquired, Attempt: 42}, <-claimed)
}

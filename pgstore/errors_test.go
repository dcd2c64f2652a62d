package pgstore_test

import (
	"context"
	"crypto/rand"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHangsAndRestarts: the sender gets a response in time, and nothing needs to
// be restarted except the server.
func TestHangsAndRestarts(t *testing.T) {
	own := testserver.NewPostgres(t)
	proxy := testserver.NewProxy(t, own.Addr)
	store := pgstore.New(connect(t, proxied(own, proxy)))
	require.NoError(t, store.Migrate(t.Context()))
	const timeout = 250 * time.Millisecond
	for name, endpoint := range map[string]*geminihook.Endpoint{
		"leases":       {Store: store, StoreTimeout: timeout},
		"transactions": {Transactor: store, StoreTimeout: timeout, RunTimeout: timeout},
	} {
		t.Run(name, func(t *testing.T) {
			is := func(want geminihook.Result) func() bool {
				return func() bool {
					return process(t, endpoint, rand.Text(), succeed).Result == want
				}
			}
			require.Eventually(t, is(geminihook.Processed), limit, tick)
			release := proxy.Hold()
			assert.Condition(t, is(geminihook.Unavailable), "it hangs")
			release()
			require.Eventually(t, is(geminihook.Processed), limit, tick)
			require.NoError(t, own.Kill())
			// The processes of its sessions notice it a little later.
			require.Eventually(t, is(geminihook.Unavailable), limit, tick, "it is gone")
			require.NoError(t, own.Start())
			require.Eventually(t, is(geminihook.Processed), limit, tick)
		})
	}
}

// TestReadOnlyServer: after a failover that leaves the old primary running and
// read-only, each connection to it fails once and is closed.
func TestReadOnlyServer(t *testing.T) {
	for name, call := range map[string]func(store *pgstore.Store, key string) error{
		"leases": func(store *pgstore.Store, key string) error {
			_, err := store.Claim(t.Context(), key, "token", time.Hour, time.Hour)
			return err
		},
		"transactions": func(store *pgstore.Store, key string) error {
			_, err := store.Transact(t.Context(), key, time.Hour, succeed)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			schema := newSchema(t, connect(t, server.Postgres(t).URL))
			primary := connect(t, server.Postgres(t).URL, searchPath(schema))
			require.NoError(t, pgstore.New(primary).Migrate(t.Context()))
			old := testserver.NewPostgres(t)
			admin := connect(t, old.URL)
			run(t, admin, "CREATE SCHEMA "+schema)
			var addr atomic.Value
			addr.Store(old.Addr)
			pool := connect(t, old.URL, searchPath(schema), maxConns(2), func(c *pgxpool.Config) {
				c.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", addr.Load().(string))
				}
			})
			store := pgstore.New(pool)
			require.NoError(t, store.Migrate(t.Context()))
			withBoth(t, pool, func(*pgxpool.Conn) {})
			require.NoError(t, call(store, "before"))

			run(t, admin, "ALTER SYSTEM SET default_transaction_read_only = on")
			run(t, admin, "SELECT pg_reload_conf()")
			withBoth(t, pool, func(conn *pgxpool.Conn) {
				require.Eventually(t, func() bool {
					var setting string
					row := conn.QueryRow(t.Context(), "SHOW default_transaction_read_only")
					err := row.Scan(&setting)
					return err == nil && setting == "on"
				}, limit, tick)
			})
			addr.Store(primaryAddr(t))
			failed := 0
			for ; failed <= 2; failed++ {
				err := call(store, "after")
				if err == nil {
					break
				}
				require.ErrorContains(t, err, "read-only, and is closed")
			}
			assert.LessOrEqual(t, failed, 2, "each connection fails once")
			assert.Equal(t, 1, rows(t, primary))
		})
	}
}

// withBoth calls f with each of the two connections of the pool.
func withBoth(t *testing.T, pool *pgxpool.Pool, f func(*pgxpool.Conn)) {
	t.Helper()
	for range 2 {
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release() // after both are acquired
		f(conn)
	}
}

func primaryAddr(t *testing.T) string {
	t.Helper()
	config, err := pgxpool.ParseConfig(server.Postgres(t).URL)
	require.NoError(t, err)
	return net.JoinHostPort(config.ConnConfig.Host, strconv.Itoa(int(config.ConnConfig.Port)))
}

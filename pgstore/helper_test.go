package pgstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These bound what should happen at once, on a machine that is slow.
const (
	limit = time.Minute
	tick  = 5 * time.Millisecond
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func connect(t testing.TB, url string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	for _, f := range change {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

var schemas atomic.Int64

// newSchema creates a schema, and drops it when the test has ended. The pool must
// stay open until then.
func newSchema(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), schemas.Add(1))
	run(t, pool, "CREATE SCHEMA "+name)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP SCHEMA "+name+" CASCADE")
		assert.NoError(t, err)
	})
	return name
}

func searchPath(schema string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["search_path"] = schema }
}

// sameSchema is the search_path of another pool.
func sameSchema(pool *pgxpool.Pool) func(*pgxpool.Config) {
	return searchPath(pool.Config().ConnConfig.RuntimeParams["search_path"])
}

// proxied is the URL of the server through the proxy.
func proxied(s *testserver.Server, proxy *testserver.Proxy) string {
	return strings.Replace(s.URL, s.Addr, proxy.Addr, 1)
}

func maxConns(n int32) func(*pgxpool.Config) { return func(c *pgxpool.Config) { c.MaxConns = n } }

// open returns a store with a table in a separate schema. It purges only when
// asked.
func open(t testing.TB, change ...func(*pgxpool.Config)) (*pgstore.Store, *pgxpool.Pool) {
	t.Helper()
	url := server.Postgres(t).URL
	pool := connect(t, url, append(change, searchPath(newSchema(t, connect(t, url))))...)
	store := pgstore.New(pool)
	store.PurgeInterval = -1
	require.NoError(t, store.Migrate(t.Context()))
	return store, pool
}

func run(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// beginWith begins a transaction with a statement. It ends with the test.
func beginWith(t testing.TB, pool *pgxpool.Pool, sql string) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), sql)
	require.NoError(t, err)
	return tx
}

// get returns the one value of a query.
func get[T any](t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (value T) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&value))
	return value
}

// lapsed is whether the lease of a key has ended, for eventually.
const lapsed = "SELECT lease < clock_timestamp() FROM geminihook_deliveries WHERE key = $1"

// blocks is whether a session waits for the one with a given process id.
const blocks = "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"

// eventually waits until a query returns true.
func eventually(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool {
		var ok bool
		return pool.QueryRow(t.Context(), sql, args...).Scan(&ok) == nil && ok
	}, limit, tick, sql)
}

// fill makes rows that are done and expire after d, a microsecond apart.
func fill(t testing.TB, pool *pgxpool.Pool, prefix string, n int, d time.Duration) {
	t.Helper()
	run(t, pool, `INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT ($1::text || i)::bytea, 2, left(md5(i::text), 16)::bytea, 1, now(), now() + ($3::bigint + i) * interval '1 microsecond'
		FROM generate_series(1, $2::int) AS i`, prefix, n, d.Microseconds())
}

func rows(t testing.TB, pool *pgxpool.Pool) int {
	t.Helper()
	return get[int](t, pool, "SELECT count(*) FROM geminihook_deliveries")
}

// process processes an event with the ID.
func process(
	t testing.TB, endpoint *geminihook.Endpoint, id string, fn func(context.Context) error,
) geminihook.Outcome {
	t.Helper()
	endpoint.Logger = slog.New(slog.DiscardHandler)
	ev := &geminihook.Event{ID: id}
	return endpoint.Process(t.Context(), ev, func(ctx context.Context, _ *geminihook.Event) error {
		return fn(ctx)
	})
}

func succeed(context.Context) error { return nil }

// acquire claims a free key, with a token that it returns.
func acquire(t testing.TB, store geminihook.Store, key string, lease, keep time.Duration) string {
	t.Helper()
	token := rand.Text()
	c := claim(t, store, key, token, lease, keep)
	require.Equal(t, geminihook.Acquired, c.State)
	return token
}

func claim(
	t testing.TB, store geminihook.Store, key, token string, lease, keep time.Duration,
) geminihook.Claim {
	t.Helper()
	c, err := store.Claim(t.Context(), key, token, lease, keep)
	require.NoError(t, err)
	return c
}

// transact runs the function in a transaction and returns the state.
func transact(
	t testing.TB, store *pgstore.Store, key string, fn func(context.Context) error,
) geminihook.State {
	t.Helper()
	state, err := store.Transact(t.Context(), key, time.Hour, fn)
	require.NoError(t, err)
	return state
}

// begun returns the transaction that a function runs in.
func begun(t testing.TB, ctx context.Context) pgx.Tx {
	t.Helper()
	tx, err := pgstore.Tx(ctx)
	require.NoError(t, err)
	return tx
}

const rights = "SELECT, INSERT, UPDATE, DELETE"

// withRole returns a pool of a new role that has the rights of the README on the
// table of the given pool.
func withRole(t *testing.T, admin *pgxpool.Pool) (user *pgxpool.Pool, role string) {
	t.Helper()
	schema := admin.Config().ConnConfig.RuntimeParams["search_path"]
	role = schema + "_user"
	run(t, admin, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		assert.NoError(t, err)
	})
	run(t, admin, "GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	run(t, admin, "GRANT "+rights+" ON ALL TABLES IN SCHEMA "+schema+" TO "+role)
	url := strings.Replace(server.Postgres(t).URL, "postgres@", role+"@", 1)
	return connect(t, url, searchPath(schema)), role
}

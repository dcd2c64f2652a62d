package pgstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var _ geminihook.Renewer = (*pgstore.Store)(nil)

var repeatableRead = func(c *pgxpool.Config) {
	c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "repeatable read"
}

// TestStore runs the suite with prepared statements. TestPgBouncer runs it without.
func TestStore(t *testing.T) {
	for name, change := range map[string]func(*pgxpool.Config){
		"default":         func(*pgxpool.Config) {},
		"repeatable read": repeatableRead,
	} {
		t.Run(name, func(t *testing.T) { suite(t, server.Postgres(t).URL, change) })
	}
}

// suite runs storetest on both modes, each on connections that all its subtests
// share, because the server starts a process for every connection.
func suite(t *testing.T, url string, change func(*pgxpool.Config)) {
	t.Helper()
	for kind, as := range map[string]func(*pgstore.Store) geminihook.Store{
		"plain":         func(s *pgstore.Store) geminihook.Store { return s },
		"transactional": (*pgstore.Store).Transactional,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // it waits more than it works
			first, second, others := connect(t, url, change), connect(t, url, change), connect(t, server.Postgres(t).URL)
			var schema string
			handle := func(pool *pgxpool.Pool) *pgstore.Store {
				store := pgstore.New(pool)
				store.Schema = schema
				return store
			}
			storetest.Suite{
				New: func(t *testing.T) geminihook.Store {
					schema = newSchema(t, others)
					store := handle(first)
					require.NoError(t, store.Migrate(t.Context()))
					return as(store)
				},
				Second: func(*testing.T, geminihook.Store) geminihook.Store { return as(handle(second)) },
				Gone: func(t *testing.T) geminihook.Store {
					return as(pgstore.New(connect(t, url, func(c *pgxpool.Config) { c.ConnConfig.Port = 1 })))
				},
				Writes: func(t *testing.T, _ geminihook.Store) storetest.Writes { return writes(t, others, schema) },
			}.Run(t)
		})
	}
}

func TestRoundTrips(t *testing.T) {
	var trips testserver.RoundTrips
	store, _ := open(t, maxConns(1), func(c *pgxpool.Config) { c.ConnConfig.DialFunc = trips.Dial })
	var claim geminihook.Claim
	transact := func(key string) error {
		_, err := transactor(store).Transact(t.Context(), key, time.Hour, succeed)
		return err
	}
	steps := []struct {
		name string
		want int
		do   func(key string) error
	}{
		{"claim", 1, func(key string) (err error) {
			claim, err = store.Claim(t.Context(), key, time.Minute, time.Hour)
			return err
		}},
		{"in progress", 1, func(key string) error {
			c, err := store.Claim(t.Context(), key, time.Minute, time.Hour)
			assert.Equal(t, geminihook.InProgress, c.State)
			return err
		}},
		{"renew", 1, func(key string) error { return store.Renew(t.Context(), key, claim.Token, time.Hour) }},
		{"complete", 1, func(key string) error { return store.Complete(t.Context(), key, claim.Token, time.Hour) }},
		{"duplicate", 1, func(key string) error {
			c, err := store.Claim(t.Context(), key, time.Minute, time.Hour)
			assert.Equal(t, geminihook.Done, c.State)
			return err
		}},
		{"transact", 2, func(key string) error { return transact(key + "t") }},
		{"transact duplicate", 2, func(key string) error { return transact(key + "t") }},
	}
	for _, key := range []string{"warm", "msg_1"} {
		for _, step := range steps {
			trips.Count()
			require.NoError(t, step.do(key), step.name)
			if key != "warm" { // the driver prepares each statement once per connection
				assert.Equal(t, step.want, trips.Count(), step.name)
			}
		}
	}
}

// TestIsolation: a statement that waited for another transaction carries on,
// whatever the database's default.
func TestIsolation(t *testing.T) {
	store, pool := open(t, repeatableRead)
	for name, do := range map[string]func(key, token string) error{
		"Complete": func(key, token string) error { return store.Complete(t.Context(), key, token, time.Hour) },
		"Release":  func(key, token string) error { return store.Release(t.Context(), key, token) },
		"Renew":    func(key, token string) error { return store.Renew(t.Context(), key, token, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			c := acquire(t, store, name, time.Hour, time.Hour)
			tx, err := pool.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "UPDATE geminihook_deliveries SET attempt = attempt WHERE key = $1", []byte(name))
			require.NoError(t, err)
			result := make(chan error, 1)
			go func() { result <- do(name, c.Token) }()
			eventually(t, pool, "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))",
				tx.Conn().PgConn().PID())
			require.NoError(t, tx.Commit(t.Context()))
			require.NoError(t, <-result)
		})
	}
}

func TestDuplicateWritesNothing(t *testing.T) {
	store, pool := open(t)
	row := func() string {
		return get[string](t, pool, "SELECT concat_ws(' ', xmin, xmax, ctid) FROM geminihook_deliveries")
	}
	c := acquire(t, store, "msg_1", time.Hour, time.Hour)
	claimed := row()
	duplicates := func() {
		_, err := store.Claim(t.Context(), "msg_1", time.Hour, time.Hour)
		require.NoError(t, err)
		_, err = transactor(store).Transact(t.Context(), "msg_1", time.Hour, succeed)
		require.NoError(t, err)
	}
	duplicates()
	assert.Equal(t, claimed, row(), "in progress")
	require.NoError(t, store.Complete(t.Context(), "msg_1", c.Token, time.Hour))
	completed := row()
	duplicates()
	require.NoError(t, store.Complete(t.Context(), "msg_1", c.Token, 2*time.Hour))
	assert.Equal(t, completed, row(), "done, and completed again")
}

// TestUpdatesInPlace: Complete changes no index (a HOT update).
func TestUpdatesInPlace(t *testing.T) {
	store, pool := open(t)
	for range 500 {
		key := time.Now().String()
		c := acquire(t, store, key, time.Minute, 7*24*time.Hour)
		require.NoError(t, store.Complete(t.Context(), key, c.Token, 7*24*time.Hour))
	}
	stats := connect(t, server.Postgres(t).URL, searchPath(pool.Config().ConnConfig.RuntimeParams["search_path"]))
	pool.Close() // the server counts what a session did when it ends
	const from = " FROM pg_stat_user_tables WHERE relid = 'geminihook_deliveries'::regclass"
	eventually(t, stats, "SELECT n_tup_upd >= 500"+from)
	assert.GreaterOrEqual(t, get[int](t, stats, "SELECT n_tup_hot_upd"+from), 450)
}

func TestRenew(t *testing.T) {
	store, pool := open(t)
	ctx := t.Context()
	c := acquire(t, store, "msg_1", 50*time.Millisecond, time.Millisecond)
	eventually(t, pool, "SELECT lease < clock_timestamp() AND expires < clock_timestamp() FROM geminihook_deliveries")
	require.NoError(t, store.Renew(ctx, "msg_1", c.Token, time.Hour), "nobody took the key")
	again, err := store.Claim(ctx, "msg_1", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.InProgress, again.State)
	assert.Greater(t, again.RetryIn, 30*time.Minute)
	assert.True(t, get[bool](t, pool, "SELECT expires >= lease FROM geminihook_deliveries"), "not forgotten while it is in progress")

	require.ErrorIs(t, store.Renew(ctx, "msg_1", "another", time.Hour), geminihook.ErrLeaseLost)
	require.ErrorIs(t, store.Renew(ctx, "msg_2", c.Token, time.Hour), geminihook.ErrLeaseLost)
	require.NoError(t, store.Complete(ctx, "msg_1", c.Token, time.Hour))
	require.ErrorIs(t, store.Renew(ctx, "msg_1", c.Token, time.Hour), geminihook.ErrLeaseLost, "completed")

	c = acquire(t, store, "msg_3", time.Hour, time.Hour)
	require.NoError(t, store.Release(ctx, "msg_3", c.Token))
	require.ErrorIs(t, store.Renew(ctx, "msg_3", c.Token, time.Hour), geminihook.ErrLeaseLost, "released")
	require.NoError(t, context.Cause(ctx))
}

// TestLateCalls: whoever holds the key may complete or release it after the
// lease, and after the time it is kept, until another claim takes it.
func TestLateCalls(t *testing.T) {
	store, pool := open(t)
	for name, do := range map[string]func(key, token string) error{
		"Complete": func(key, token string) error { return store.Complete(t.Context(), key, token, time.Hour) },
		"Release":  func(key, token string) error { return store.Release(t.Context(), key, token) },
	} {
		c := acquire(t, store, name, 50*time.Millisecond, time.Millisecond)
		eventually(t, pool, "SELECT expires < clock_timestamp() FROM geminihook_deliveries WHERE key = $1", []byte(name))
		require.NoError(t, do(name, c.Token), name)
		c = acquire(t, store, name+"2", 50*time.Millisecond, time.Hour)
		eventually(t, pool, "SELECT lease < clock_timestamp() FROM geminihook_deliveries WHERE key = $1", []byte(name+"2"))
		assert.Equal(t, 2, acquire(t, store, name+"2", time.Hour, time.Hour).Attempt)
		require.ErrorIs(t, do(name+"2", c.Token), geminihook.ErrLeaseLost, name)
	}
}

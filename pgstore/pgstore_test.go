package pgstore_test

import (
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	_ geminihook.Store      = (*pgstore.Store)(nil)
	_ geminihook.Transactor = (*pgstore.Store)(nil)
)

func isolation(level string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_isolation"] = level
	}
}

func TestRoundTrips(t *testing.T) {
	var trips testserver.RoundTrips
	store, _ := open(t, maxConns(1), func(c *pgxpool.Config) { c.ConnConfig.DialFunc = trips.Dial })
	claims := func(want geminihook.State) func(key string) {
		return func(key string) {
			assert.Equal(t, want, claim(t, store, key, "token", time.Minute, time.Hour).State)
		}
	}
	steps := []struct {
		name string
		want int
		do   func(key string)
	}{
		{"claim", 1, claims(geminihook.Acquired)},
		{"claim again", 3, claims(geminihook.Acquired)},
		{"in progress", 2, func(key string) {
			c := claim(t, store, key, "another", time.Minute, time.Hour)
			assert.Equal(t, geminihook.InProgress, c.State)
		}},
		{"renew", 1, func(key string) {
			require.NoError(t, store.Renew(t.Context(), key, "token", time.Hour))
		}},
		{"complete", 1, func(key string) {
			require.NoError(t, store.Complete(t.Context(), key, "token", time.Hour))
		}},
		{"complete again", 2, func(key string) {
			require.NoError(t, store.Complete(t.Context(), key, "token", time.Hour))
		}},
		{"duplicate", 2, claims(geminihook.Done)},
		{"transact", 2, func(key string) {
			assert.Equal(t, geminihook.Acquired, transact(t, store, key+"t", succeed))
		}},
		{"transact duplicate", 2, func(key string) {
			assert.Equal(t, geminihook.Done, transact(t, store, key+"t", succeed))
		}},
	}
	for _, key := range []string{"warm", "msg_1"} {
		for _, step := range steps {
			trips.Count()
			step.do(key)
			if key != "warm" { // the driver prepares each statement once per connection
				assert.Equal(t, step.want, trips.Count(), step.name)
			}
		}
	}
}

// TestIsolation: a statement that waited for another transaction carries on,
// whatever the database's default.
func TestIsolation(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		store, pool := open(t, isolation(level))
		for name, do := range map[string]func(key, token string) error{
			"Claim": func(key, token string) error {
				c, err := store.Claim(t.Context(), key, token, time.Hour, time.Hour)
				assert.Equal(t, geminihook.Acquired, c.State)
				return err
			},
			"Complete": func(key, token string) error {
				return store.Complete(t.Context(), key, token, time.Hour)
			},
			"Release": func(key, token string) error {
				return store.Release(t.Context(), key, token)
			},
			"Renew": func(key, token string) error {
				return store.Renew(t.Context(), key, token, time.Hour)
			},
		} {
			t.Run(level+" "+name, func(t *testing.T) {
				token := acquire(t, store, name, time.Hour, time.Hour)
				tx := beginWith(t, pool, "UPDATE geminihook_deliveries SET attempt = attempt")
				result := make(chan error, 1)
				go func() { result <- do(name, token) }()
				eventually(t, pool, blocks, tx.Conn().PgConn().PID())
				require.NoError(t, tx.Commit(t.Context()))
				require.NoError(t, <-result)
			})
		}
	}
}

func TestDuplicateWritesNothing(t *testing.T) {
	store, pool := open(t)
	row := func() string {
		return get[string](t, pool, "SELECT concat_ws(' ', xmin, xmax, ctid) FROM geminihook_deliveries")
	}
	token := acquire(t, store, "msg_1", time.Hour, time.Hour)
	claimed := row()
	duplicates := func(want geminihook.State) {
		c := claim(t, store, "msg_1", "another", time.Hour, time.Hour)
		assert.Equal(t, want, c.State)
		assert.Equal(t, want, transact(t, store, "msg_1", succeed))
	}
	duplicates(geminihook.InProgress)
	assert.Equal(t, claimed, row(), "in progress")
	require.NoError(t, store.Complete(t.Context(), "msg_1", token, time.Hour))
	completed := row()
	duplicates(geminihook.Done)
	require.NoError(t, store.Complete(t.Context(), "msg_1", token, 2*time.Hour))
	assert.Equal(t, completed, row(), "done, and completed again")
}

// TestUpdatesInPlace: Complete changes no index (a HOT update).
func TestUpdatesInPlace(t *testing.T) {
	store, pool := open(t)
	const keep = 7 * 24 * time.Hour
	for range 500 {
		key := time.Now().String()
		token := acquire(t, store, key, time.Minute, keep)
		require.NoError(t, store.Complete(t.Context(), key, token, keep))
	}
	stats := connect(t, server.Postgres(t).URL, sameSchema(pool))
	pool.Close() // the server counts what a session did when it ends
	const from = " FROM pg_stat_user_tables WHERE relid = 'geminihook_deliveries'::regclass"
	eventually(t, stats, "SELECT n_tup_upd >= 500"+from)
	assert.GreaterOrEqual(t, get[int](t, stats, "SELECT n_tup_hot_upd"+from), 450)
}

func TestRenew(t *testing.T) {
	store, pool := open(t)
	ctx := t.Context()
	token := acquire(t, store, "msg_1", 50*time.Millisecond, time.Millisecond)
	eventually(t, pool, "SELECT lease < clock_timestamp() AND expires < clock_timestamp() FROM geminihook_deliveries")
	require.NoError(t, store.Renew(ctx, "msg_1", token, time.Hour), "nobody took the key")
	again := claim(t, store, "msg_1", "another", time.Minute, time.Hour)
	assert.Equal(t, geminihook.InProgress, again.State)
	assert.Greater(t, again.RetryIn, 30*time.Minute)
	assert.True(t, get[bool](t, pool, "SELECT expires >= lease FROM geminihook_deliveries"), "not forgotten while it is in progress")

	require.ErrorIs(t, store.Renew(ctx, "msg_1", "another", time.Hour), geminihook.ErrLeaseLost)
	require.ErrorIs(t, store.Renew(ctx, "msg_2", token, time.Hour), geminihook.ErrLeaseLost)
	require.NoError(t, store.Complete(ctx, "msg_1", token, time.Hour))
	require.ErrorIs(t, store.Renew(ctx, "msg_1", token, time.Hour), geminihook.ErrLeaseLost, "completed")

	token = acquire(t, store, "msg_3", time.Hour, time.Hour)
	require.NoError(t, store.Release(ctx, "msg_3", token))
	require.ErrorIs(t, store.Renew(ctx, "msg_3", token, time.Hour), geminihook.ErrLeaseLost, "released")
}

// TestSameToken: a claim whose response was lost can be repeated.
func TestSameToken(t *testing.T) {
	store, pool := open(t)
	ctx := t.Context()
	acquired := func(attempt int, text string) {
		t.Helper()
		want := geminihook.Claim{State: geminihook.Acquired, Attempt: attempt}
		assert.Equal(t, want, claim(t, store, "msg_1", "token", time.Hour, time.Hour), text)
	}
	acquired(1, "first")
	run(t, pool, "UPDATE geminihook_deliveries SET lease = clock_timestamp() + interval '1 minute'")
	acquired(1, "while the lease runs")
	const renewed = "SELECT lease > clock_timestamp() + interval '30 minutes' FROM geminihook_deliveries"
	assert.True(t, get[bool](t, pool, renewed), "a new lease")
	run(t, pool, "UPDATE geminihook_deliveries SET lease = clock_timestamp()")
	acquired(1, "after the lease has expired")
	require.NoError(t, store.Release(ctx, "msg_1", "token"))
	acquired(2, "after Release")
	run(t, pool, "UPDATE geminihook_deliveries SET lease = clock_timestamp()")
	require.Equal(t, 3, claim(t, store, "msg_1", "another", time.Hour, time.Hour).Attempt)
	c := claim(t, store, "msg_1", "token", time.Hour, time.Hour)
	assert.Equal(t, geminihook.InProgress, c.State, "another has taken the key")
	require.NoError(t, store.Complete(ctx, "msg_1", "another", time.Hour))
	c = claim(t, store, "msg_1", "another", time.Hour, time.Hour)
	assert.Equal(t, geminihook.Claim{State: geminihook.Done}, c, "after Complete")
}

// TestLateCalls: whoever holds the key may complete or release it after the
// lease, and after the time it is kept, until another claim takes it.
func TestLateCalls(t *testing.T) {
	store, pool := open(t)
	for name, do := range map[string]func(key, token string) error{
		"Complete": func(key, token string) error {
			return store.Complete(t.Context(), key, token, time.Hour)
		},
		"Release": func(key, token string) error { return store.Release(t.Context(), key, token) },
	} {
		token := acquire(t, store, name, 50*time.Millisecond, time.Millisecond)
		const expired = "SELECT expires < clock_timestamp() FROM geminihook_deliveries WHERE key = $1"
		eventually(t, pool, expired, []byte(name))
		require.NoError(t, do(name, token), name)
		key := name + "2"
		token = acquire(t, store, key, 50*time.Millisecond, time.Hour)
		eventually(t, pool, lapsed, []byte(key))
		assert.Equal(t, 2, claim(t, store, key, "another", time.Hour, time.Hour).Attempt)
		require.ErrorIs(t, do(key, token), geminihook.ErrLeaseLost, name)
	}
}

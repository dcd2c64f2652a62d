package pgstore_test

import (
	"testing"
	"time"

	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPurge(t *testing.T) {
	store, pool := open(t)
	fill(t, pool, "expired", 2500, -time.Hour)
	fill(t, pool, "fresh", 10, time.Hour)
	n, err := store.Purge(t.Context(), 1200)
	require.NoError(t, err)
	assert.Equal(t, 1200, n)
	assert.Equal(t, 1310, rows(t, pool))

	// A row that is being worked on is left alone, and not waited for.
	tx := beginWith(t, pool, "SELECT 1 FROM geminihook_deliveries WHERE key = 'expired2500' FOR UPDATE")
	n, err = store.Purge(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, 1299, n)
	require.NoError(t, tx.Rollback(t.Context()))
	n, err = store.Purge(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, 10, rows(t, pool))
}

// indexEntries returns how many entries of the index on expires were read by
// the sessions of the pool, which it closes.
func indexEntries(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	stats := connect(t, server.Postgres(t).URL, sameSchema(pool))
	pool.Close() // the server counts what a session did when it ends
	const from = ` FROM pg_stat_user_indexes WHERE relid = 'geminihook_deliveries'::regclass AND indexrelname LIKE '%expires%'`
	eventually(t, stats, "SELECT idx_scan > 0"+from)
	return get[int](t, stats, "SELECT idx_tup_read"+from)
}

// TestPurgeReadsWhatItRemoves: not the whole table, and not again what it has
// removed before, which remains for as long as another transaction might see it.
func TestPurgeReadsWhatItRemoves(t *testing.T) {
	const n = 20_000
	t.Run("none expired", func(t *testing.T) {
		store, pool := open(t)
		fill(t, pool, "fresh", n, time.Hour)
		run(t, pool, "ANALYZE geminihook_deliveries")
		purged, err := store.Purge(t.Context(), 0)
		require.NoError(t, err)
		assert.Zero(t, purged)
		assert.Less(t, indexEntries(t, pool), 10, "the planner looks at the ends of the index")
	})
	t.Run("beside a long transaction", func(t *testing.T) {
		store, pool := open(t)
		fill(t, pool, "expired", n, -time.Hour)
		run(t, pool, "ANALYZE geminihook_deliveries")
		repeatable := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
		long, err := connect(t, server.Postgres(t).URL).BeginTx(t.Context(), repeatable)
		require.NoError(t, err)
		t.Cleanup(func() { _ = long.Rollback(t.Context()) })
		_, err = long.Exec(t.Context(), "SELECT count(*) FROM pg_class")
		require.NoError(t, err)
		purged, err := store.Purge(t.Context(), 0)
		require.NoError(t, err)
		assert.Equal(t, n, purged)
		again, err := store.Purge(t.Context(), 0)
		require.NoError(t, err)
		assert.Zero(t, again)
		assert.Less(t, indexEntries(t, pool), 2*n)
	})
}

// TestClaimsPurge: expired rows go although nobody calls Purge.
func TestClaimsPurge(t *testing.T) {
	for name, claim := range map[string]func(store *pgstore.Store){
		"leases": func(store *pgstore.Store) {
			acquire(t, store, "new", time.Hour, time.Hour)
		},
		"transactions": func(store *pgstore.Store) { transact(t, store, "new", succeed) },
	} {
		t.Run(name, func(t *testing.T) {
			off, pool := open(t, maxConns(1))
			store := pgstore.New(pool)
			fill(t, pool, "expired", 2100, -time.Hour)
			claim(store)
			eventually(t, pool, "SELECT count(*) <= 1101 FROM geminihook_deliveries")
			acquire(t, store, "second", time.Hour, time.Hour)
			acquire(t, off, "third", time.Hour, time.Hour)
			assert.Equal(t, 1103, rows(t, pool), "one batch per minute")
			store = pgstore.New(pool)
			store.PurgeInterval = time.Nanosecond
			require.Eventually(t, func() bool {
				acquire(t, store, time.Now().String(), time.Hour, time.Hour)
				return get[bool](t, pool, "SELECT count(*) = 0 FROM geminihook_deliveries WHERE expires < now()")
			}, limit, tick)
		})
	}
}

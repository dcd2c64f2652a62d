package pgstore_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestClaimsBesideTransactions: neither waits for the other.
func TestClaimsBesideTransactions(t *testing.T) {
	store, pool := open(t)
	other := pgstore.New(connect(t, server.Postgres(t).URL, sameSchema(pool)))
	busy := geminihook.Claim{State: geminihook.InProgress}
	transact(t, store, "msg_1", func(context.Context) error {
		assert.Equal(t, busy, claim(t, other, "msg_1", "token", time.Hour, time.Hour))
		assert.Equal(t, geminihook.InProgress, transact(t, other, "msg_1", succeed))
		return nil
	})
	// Also while the mark is being written.
	fill(t, pool, "expired", 1, -time.Hour)
	row := beginWith(t, pool, "SELECT FROM geminihook_deliveries WHERE key = 'expired1' FOR UPDATE")
	ended := make(chan error, 1)
	go func() {
		_, err := store.Transact(t.Context(), "expired1", time.Hour, succeed)
		ended <- err
	}()
	eventually(t, pool, blocks, row.Conn().PgConn().PID())
	assert.Equal(t, busy, claim(t, other, "expired1", "token", time.Hour, time.Hour))
	assert.Equal(t, geminihook.InProgress, transact(t, other, "expired1", succeed))
	require.NoError(t, row.Rollback(t.Context()))
	require.NoError(t, <-ended)
	assert.Equal(t, geminihook.Done, transact(t, other, "expired1", succeed))

	acquire(t, store, "msg_3", time.Hour, time.Hour)
	assert.Equal(t, geminihook.InProgress, transact(t, other, "msg_3", succeed))
}

// TestLockNumber: other programs that use the table must compute the same number,
// and a sender must not be able to choose it.
func TestLockNumber(t *testing.T) {
	store, pool := open(t)
	const key = "v1:msg_1"
	sum := sha256.Sum256([]byte("geminihook\x00" + key))
	oid := get[int64](t, pool, "SELECT 'geminihook_deliveries'::regclass::oid::bigint")
	want := int64(binary.BigEndian.Uint64(sum[:8])) ^ oid<<32
	transact(t, store, key, func(ctx context.Context) error {
		var got int64
		row := begun(t, ctx).QueryRow(ctx, `SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
			WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid() AND mode = 'ExclusiveLock'`)
		assert.NoError(t, row.Scan(&got))
		assert.Equal(t, want, got)
		return nil
	})
}

// TestSession: what a function changes on its session does not keep later events
// from being handled.
func TestSession(t *testing.T) {
	store, pool := open(t, maxConns(2))
	store.MaxTransactions = 1
	run(t, pool, "CREATE ROLE nobody_special")
	t.Cleanup(func() {
		_, err := connect(t, server.Postgres(t).URL).Exec(context.WithoutCancel(t.Context()), "DROP ROLE nobody_special")
		assert.NoError(t, err)
	})
	for i, sql := range []string{
		"SET search_path = pg_catalog",
		"SET default_transaction_read_only = on",
		"SET default_transaction_isolation = 'serializable'",
		"SET SESSION AUTHORIZATION nobody_special; RESET ROLE",
	} {
		t.Run(sql, func(t *testing.T) {
			change := func(ctx context.Context) error { return execute(ctx, []string{sql}) }
			_, _ = store.Transact(t.Context(), fmt.Sprint("first", i), time.Hour, change)
			failed := 0
			for ; failed <= 2; failed++ {
				key := fmt.Sprint("second", i)
				_, err := store.Claim(t.Context(), key, "token", time.Hour, time.Hour)
				if err == nil {
					break
				}
			}
			assert.LessOrEqual(t, failed, 1, "its connection fails once")
			third := transact(t, store, fmt.Sprint("third", i), succeed)
			assert.Equal(t, geminihook.Acquired, third)
		})
	}
}

// TestHangingFunctions: the slot and the connection of a function that does not
// return go to others.
func TestHangingFunctions(t *testing.T) {
	store, pool := open(t, maxConns(2))
	store.MaxTransactions = 1
	ctx, cancel := context.WithCancel(t.Context())
	entered, hung, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var tx pgx.Tx
	go func() {
		_, err := store.Transact(ctx, "msg_1", time.Hour, func(ctx context.Context) error {
			tx = begun(t, ctx)
			cancel()
			close(entered)
			<-hung
			_, err := tx.Exec(t.Context(), "SELECT 1")
			return err
		})
		result <- err
	}()
	<-entered
	within, stop := context.WithTimeout(t.Context(), limit)
	defer stop()
	for range 2 { // also on the connection that takes its place
		state, err := store.Transact(within, rand.Text(), time.Hour, succeed)
		require.NoError(t, err)
		require.Equal(t, geminihook.Acquired, state)
	}
	require.Eventually(t, func() bool { // the server notices that the connection is gone
		state, err := store.Transact(t.Context(), "msg_1", time.Hour, succeed)
		return err == nil && state == geminihook.Acquired
	}, limit, tick)
	close(hung)
	err := <-result
	require.ErrorIs(t, err, geminihook.ErrStore)
	require.ErrorIs(t, err, pgx.ErrTxClosed, "the function's")
	assert.Zero(t, pool.Stat().AcquiredConns())
}

// TestFunctionsUseThePool: with as many deliveries at once as the pool has
// connections and more, and each function using the pool beside its transaction.
func TestFunctionsUseThePool(t *testing.T) {
	store, pool := open(t, maxConns(4))
	var inside atomic.Int64
	full := make(chan struct{})
	use := func(ctx context.Context) error {
		if inside.Add(1) == 3 {
			close(full)
		}
		<-full
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		_, err := pool.Exec(ctx, "SELECT 1")
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		all.Go(func() {
			_, errs[i] = store.Transact(t.Context(), fmt.Sprint("msg_", i), time.Hour, use)
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestWaitsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name         string
		transactions int
		want         string
	}{
		{"for a transaction", 0, "one of the 1 transactions that may run at a time"},
		{"for a connection", 3, "connection of the pool, all 2 of which are in use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, pool := open(t, maxConns(2))
			store.MaxTransactions = tt.transactions
			transact(t, store, "msg_1", func(ctx context.Context) error {
				conn, err := pool.Acquire(ctx)
				require.NoError(t, err)
				defer conn.Release()
				ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
				_, err = store.Transact(ctx, "msg_2", time.Hour, func(context.Context) error {
					assert.Fail(t, "it must not run")
					return nil
				})
				require.ErrorIs(t, err, geminihook.ErrStore)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, tt.want)
				return nil
			})
		})
	}
}

func idleTimeout(t *testing.T, tx pgx.Tx) (setting time.Duration) {
	t.Helper()
	row := tx.QueryRow(t.Context(), "SELECT current_setting('idle_in_transaction_session_timeout')::interval")
	require.NoError(t, row.Scan(&setting))
	return setting
}

// TestIdleTimeout: a function that leaves its transaction idle for longer than
// the server's setting still commits, as long as its context lasts.
func TestIdleTimeout(t *testing.T) {
	store, _ := open(t, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "100"
	})
	watch := connect(t, server.Postgres(t).URL)
	ctx, cancel := context.WithTimeout(t.Context(), 10*limit)
	defer cancel()
	_, err := store.Transact(ctx, "msg_1", time.Hour, func(ctx context.Context) error {
		tx := begun(t, ctx)
		eventually(t, watch, `SELECT count(*) = 0 OR bool_and(clock_timestamp() - state_change > interval '500 ms')
			FROM pg_stat_activity WHERE pid = $1`, tx.Conn().PgConn().PID())
		setting := idleTimeout(t, tx)
		assert.Greater(t, setting, 9*limit-10*time.Second)
		assert.LessOrEqual(t, setting, 10*limit)
		return nil
	})
	require.NoError(t, err)
	_, err = store.Transact(t.Context(), "msg_2", time.Hour, func(ctx context.Context) error {
		tx := begun(t, ctx)
		setting := idleTimeout(t, tx)
		assert.Equal(t, time.Hour, setting, "without a deadline")
		return nil
	})
	require.NoError(t, err)
}

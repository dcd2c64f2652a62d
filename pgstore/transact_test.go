package pgstore_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWrites: what the function writes is there if and only if the mark is.
func TestWrites(t *testing.T) {
	store, pool := open(t)
	run(t, pool, "CREATE TABLE effects (id text)")
	run(t, pool, "CREATE TABLE deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	sql := func(text string) func(pgx.Tx) error {
		return func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), text)
			return err
		}
	}
	for _, tt := range []struct {
		name            string
		end             func(pgx.Tx) error
		status, effects int
		again           geminihook.Result
		err             string
	}{
		{"nil", func(pgx.Tx) error { return nil }, 200, 1, geminihook.Duplicate, ""},
		{"error", func(pgx.Tx) error { return assert.AnError }, 500, 0, geminihook.Processed, assert.AnError.Error()},
		{"permanent", func(pgx.Tx) error { return geminihook.Permanent(assert.AnError) }, 200, 0, geminihook.Duplicate, ""},
		{"panic", func(pgx.Tx) error { panic("its own") }, 0, 0, geminihook.Processed, ""},
		{"commits by itself", func(tx pgx.Tx) error { return tx.Commit(t.Context()) }, 500, 0, geminihook.Processed, "ends this transaction"},
		{"rolls back by itself", func(tx pgx.Tx) error { _ = tx.Rollback(t.Context()); return nil }, 200, 1, geminihook.Duplicate, ""},
		{"SQL error", sql("SELECT 1/0"), 500, 0, geminihook.Processed, "division by zero"},
		{"SQL error that is permanent", func(tx pgx.Tx) error {
			return geminihook.Permanent(sql("SELECT 1/0")(tx))
		}, 200, 0, geminihook.Duplicate, "division by zero"},
		{"SQL error not returned", func(tx pgx.Tx) error { _ = sql("SELECT 1/0")(tx); return nil }, 500, 0, geminihook.Processed, "did not return"},
		{"deferred constraint", sql("INSERT INTO deferred VALUES (1), (1)"), 500, 0, geminihook.Processed, "refused"},
		{"COMMIT in SQL", sql("COMMIT"), 500, 1, geminihook.Processed, "COMMIT or ROLLBACK in SQL"},
		{"COMMIT in SQL, then an error", func(tx pgx.Tx) error {
			_ = sql("COMMIT")(tx)
			return assert.AnError
		}, 500, 1, geminihook.Processed, "COMMIT or ROLLBACK in SQL"},
		{"ROLLBACK in SQL", sql("ROLLBACK"), 500, 0, geminihook.Processed, "COMMIT or ROLLBACK in SQL"},
		{"rows left open", func(tx pgx.Tx) error {
			_, err := tx.Query(t.Context(), "SELECT generate_series(1, 10)")
			return err
		}, 500, 0, geminihook.Processed, "rows of a query open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
			require.NoError(t, err)
			var last geminihook.Outcome
			endpoint := &geminihook.Endpoint{
				Verifier: verifier, Store: store.Transactional(),
				Observe: func(_ context.Context, o geminihook.Outcome) { last = o },
			}
			first := true
			handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
				tx, err := pgstore.RequireTx(ctx)
				require.NoError(t, err)
				_, err = tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", ev.ID)
				require.NoError(t, err)
				if first {
					first = false
					return tt.end(tx)
				}
				return nil
			})
			d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.TestSecret))
			assert.Equal(t, tt.status, deliver(handler, d))
			if tt.err != "" {
				require.ErrorContains(t, last.Err, tt.err)
				require.NotErrorIs(t, last.Err, geminihook.ErrStore, "the function failed, not the store")
			}
			assert.Equal(t, tt.effects, get[int](t, pool, "SELECT count(*) FROM effects WHERE id = $1", d.ID()))
			assert.Equal(t, 200, deliver(handler, d))
			assert.Equal(t, tt.again, last.Result)
		})
	}
}

// TestConnectionLost: of a function that returns nil, the store has failed.
func TestConnectionLost(t *testing.T) {
	store, pool := open(t)
	for name, own := range map[string]error{"nil": nil, "error": assert.AnError, "permanent": geminihook.Permanent(assert.AnError)} {
		_, err := transactor(store).Transact(t.Context(), name, time.Hour, func(ctx context.Context) error {
			tx, err := pgstore.RequireTx(ctx)
			require.NoError(t, err)
			run(t, pool, "SELECT pg_terminate_backend($1)", tx.Conn().PgConn().PID())
			_, err = tx.Exec(ctx, "SELECT 1")
			require.Error(t, err)
			return own
		})
		require.Error(t, err)
		assert.Equal(t, name != "error", errors.Is(err, geminihook.ErrStore), "%s: %v", name, err)
		require.Eventually(t, func() bool { // the session ends a little later
			state, err := transactor(store).Transact(t.Context(), name, time.Hour, succeed)
			require.NoError(t, err)
			return state == geminihook.Acquired
		}, limit, tick)
	}
}

// TestFunctionsUseThePool: with as many deliveries at once as the pool has
// connections and more, and each function using the pool beside its transaction.
func TestFunctionsUseThePool(t *testing.T) {
	store, pool := open(t, maxConns(4))
	store.Timeout = limit
	var inside atomic.Int64
	full := make(chan struct{})
	var all sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		all.Go(func() {
			_, errs[i] = transactor(store).Transact(t.Context(), string(rune('a'+i)), time.Hour, func(ctx context.Context) error {
				if inside.Add(1) == 3 {
					close(full)
				}
				<-full
				ctx, cancel := context.WithTimeout(ctx, limit)
				defer cancel()
				_, err := pool.Exec(ctx, "SELECT 1")
				return err
			})
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
			_, pool := open(t, maxConns(2))
			store := pgstore.New(pool)
			store.MaxTransactions = tt.transactions
			store.Timeout = limit
			var err error
			_, ownErr := transactor(store).Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
				conn, acquireErr := pool.Acquire(ctx)
				require.NoError(t, acquireErr)
				defer conn.Release()
				store.Timeout = 50 * time.Millisecond
				defer func() { store.Timeout = limit }()
				_, err = transactor(store).Transact(ctx, "msg_2", time.Hour, func(context.Context) error {
					assert.Fail(t, "it must not run")
					return nil
				})
				return nil
			})
			require.NoError(t, ownErr)
			require.ErrorIs(t, err, geminihook.ErrStore)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, tt.want)
		})
	}
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
	_, err := transactor(store).Transact(ctx, "msg_1", time.Hour, func(ctx context.Context) error {
		tx, err := pgstore.RequireTx(ctx)
		require.NoError(t, err)
		eventually(t, watch, `SELECT count(*) = 0 OR bool_and(clock_timestamp() - state_change > interval '500 ms')
			FROM pg_stat_activity WHERE pid = $1`, tx.Conn().PgConn().PID())
		var setting time.Duration
		require.NoError(t, tx.QueryRow(ctx, "SELECT current_setting('idle_in_transaction_session_timeout')::interval").Scan(&setting))
		assert.Greater(t, setting, 9*limit-10*time.Second)
		assert.LessOrEqual(t, setting, 10*limit)
		return nil
	})
	require.NoError(t, err)
	_, err = transactor(store).Transact(t.Context(), "msg_2", time.Hour, func(ctx context.Context) error {
		tx, err := pgstore.RequireTx(ctx)
		require.NoError(t, err)
		var setting time.Duration
		require.NoError(t, tx.QueryRow(ctx, "SELECT current_setting('idle_in_transaction_session_timeout')::interval").Scan(&setting))
		assert.Equal(t, time.Hour, setting, "without a deadline")
		return nil
	})
	require.NoError(t, err)
}

// slowConn holds back what follows a given Execute message.
type slowConn struct {
	net.Conn
	armed *atomic.Pointer[hold]
}

type hold struct {
	execute int    // the number of the message in a write
	wait    func() // before the rest
}

func (c *slowConn) Write(b []byte) (int, error) {
	h := c.armed.Swap(nil)
	if h == nil {
		return c.Conn.Write(b)
	}
	executes := 0
	for end := 0; end < len(b) && executes < h.execute; { // each message is a type, its length and its body
		if b[end] == 'E' {
			executes++
		}
		end += 1 + int(b[end+1])<<24 + int(b[end+2])<<16 + int(b[end+3])<<8 + int(b[end+4])
		if executes == h.execute {
			if n, err := c.Conn.Write(b[:end]); err != nil {
				return n, err
			}
			h.wait()
			n, err := c.Conn.Write(b[end:])
			return end + n, err
		}
	}
	return c.Conn.Write(b)
}

// TestExpiresBetweenStatements: a key that is Done in the first statement and
// free in the second is not in progress.
func TestExpiresBetweenStatements(t *testing.T) {
	var armed atomic.Pointer[hold]
	store, pool := open(t, maxConns(1), func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &slowConn{conn, &armed}, err
		}
	})
	watch := connect(t, server.Postgres(t).URL, searchPath(pool.Config().ConnConfig.RuntimeParams["search_path"]))
	expired := func() {
		eventually(t, watch, "SELECT count(*) = 0 FROM geminihook_deliveries WHERE expires > clock_timestamp()")
	}
	store.Timeout = limit
	_, err := store.Claim(t.Context(), "warm", time.Millisecond, time.Millisecond) // prepares the statements
	require.NoError(t, err)
	for range 3 {
		state, err := transactor(store).Transact(t.Context(), "msg_1", 300*time.Millisecond, succeed)
		require.NoError(t, err)
		require.Equal(t, geminihook.Acquired, state)
		armed.Store(&hold{3, expired}) // BEGIN, set_config, the mark
		state, err = transactor(store).Transact(t.Context(), "msg_1", time.Millisecond, succeed)
		require.NoError(t, err)
		assert.Equal(t, geminihook.Acquired, state)
		assert.Nil(t, armed.Load(), "nothing was held back")
		expired()

		acquire(t, store, "msg_2", 300*time.Millisecond, time.Millisecond)
		armed.Store(&hold{2, expired}) // BEGIN, the claim
		acquire(t, store, "msg_2", time.Millisecond, time.Millisecond)
		expired()
	}
}

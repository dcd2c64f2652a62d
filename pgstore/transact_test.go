package pgstore_test

import (
	"context"
	"fmt"
	"io"
	"net"
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

// attempt runs the function for an event in a transaction of the endpoint that
// also adds a row to the table effects.
func attempt(
	t *testing.T, store *pgstore.Store, id string, fn func(context.Context, pgx.Tx) error,
) geminihook.Outcome {
	t.Helper()
	endpoint := &geminihook.Endpoint{Transactor: store}
	return process(t, endpoint, id, func(ctx context.Context) error {
		tx := begun(t, ctx)
		_, err := tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", id)
		require.NoError(t, err)
		return fn(ctx, tx)
	})
}

// next returns the result of the next attempt, once the server has noticed that the
// connection of the one before is closed.
func next(t *testing.T, store *pgstore.Store, id string) (result geminihook.Result) {
	t.Helper()
	require.Eventually(t, func() bool {
		result = attempt(t, store, id, nothing).Result
		return result != geminihook.Busy
	}, limit, tick)
	return result
}

func effects(t *testing.T, pool *pgxpool.Pool, id string) int {
	t.Helper()
	return get[int](t, pool, "SELECT count(*) FROM effects WHERE id = $1", id)
}

func nothing(context.Context, pgx.Tx) error { return nil }

// TestWrites: what the function writes is there if and only if the mark is.
func TestWrites(t *testing.T) {
	store, pool := open(t)
	run(t, pool, "CREATE TABLE effects (id text)")
	run(t, pool, "CREATE TABLE deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	sql := func(text string) func(context.Context, pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, text)
			return err
		}
	}
	for _, tt := range []struct {
		name    string
		fn      func(context.Context, pgx.Tx) error
		want    geminihook.Result
		effects int
		err     string
	}{
		{"nil", nothing, geminihook.Processed, 1, ""},
		{"error", func(context.Context, pgx.Tx) error { return assert.AnError }, geminihook.Failed, 0, assert.AnError.Error()},
		{"permanent", func(context.Context, pgx.Tx) error {
			return geminihook.Permanent(assert.AnError)
		}, geminihook.Dropped, 0, assert.AnError.Error()},
		{"commits", func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }, geminihook.Failed, 0, "ends this transaction"},
		{"defers Rollback", func(ctx context.Context, tx pgx.Tx) error {
			defer func() { _ = tx.Rollback(ctx) }()
			return nil
		}, geminihook.Processed, 1, ""},
		{"commits a savepoint", func(ctx context.Context, tx pgx.Tx) error {
			savepoint, err := tx.Begin(ctx)
			require.NoError(t, err)
			return savepoint.Commit(ctx)
		}, geminihook.Processed, 1, ""},
		{"rolls back a savepoint", func(ctx context.Context, tx pgx.Tx) error {
			savepoint, err := tx.Begin(ctx)
			require.NoError(t, err)
			_, err = savepoint.Exec(ctx, "DELETE FROM effects")
			require.NoError(t, err)
			return savepoint.Rollback(ctx)
		}, geminihook.Processed, 1, ""},
		{"SQL error", sql("SELECT 1/0"), geminihook.Failed, 0, "division by zero"},
		{"SQL error that is permanent", func(ctx context.Context, tx pgx.Tx) error {
			return geminihook.Permanent(sql("SELECT 1/0")(ctx, tx))
		}, geminihook.Dropped, 0, "division by zero"},
		{"SQL error not returned", func(ctx context.Context, tx pgx.Tx) error {
			_ = sql("SELECT 1/0")(ctx, tx)
			return nil
		}, geminihook.Failed, 0, "did not return"},
		{"deferred constraint", sql("INSERT INTO deferred VALUES (1), (1)"), geminihook.Failed, 0, "refused"},
		{"rows left open", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Query(ctx, "SELECT generate_series(1, 10)")
			return err
		}, geminihook.Failed, 0, "rows of a query open"},
		{"rows left open, permanent", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Query(ctx, "SELECT generate_series(1, 10)")
			require.NoError(t, err)
			return geminihook.Permanent(assert.AnError)
		}, geminihook.Failed, 0, "rows of a query open"},
		{"another search_path", sql("SET LOCAL search_path = pg_catalog"), geminihook.Processed, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := attempt(t, store, tt.name, tt.fn)
			assert.Equal(t, tt.want, o.Result, o.Err)
			if tt.err != "" {
				require.ErrorContains(t, o.Err, tt.err)
				require.NotErrorIs(t, o.Err, geminihook.ErrStore, "the function failed, not the store")
			}
			assert.Equal(t, tt.effects, effects(t, pool, tt.name))
			again := geminihook.Processed
			if o.Status == 200 {
				again = geminihook.Duplicate
			}
			assert.Equal(t, again, next(t, store, tt.name))
		})
	}
}

func TestPanics(t *testing.T) {
	store, pool := open(t)
	run(t, pool, "CREATE TABLE effects (id text)")
	assert.PanicsWithValue(t, "its own", func() {
		attempt(t, store, "msg_1", func(context.Context, pgx.Tx) error { panic("its own") })
	})
	assert.Zero(t, effects(t, pool, "msg_1"))
	assert.Equal(t, geminihook.Processed, attempt(t, store, "msg_1", nothing).Result)
	assert.Equal(t, 1, effects(t, pool, "msg_1"))
}

// TestEndings: a function that ends the transaction by SQL never gets a 2xx, and
// its event is not done then, even if the process dies before the end.
func TestEndings(t *testing.T) {
	store, pool := open(t)
	run(t, pool, "CREATE TABLE effects (id text)")
	for name, end := range endings() {
		for kind, own := range map[string]error{
			"nil":       nil,
			"error":     assert.AnError,
			"permanent": geminihook.Permanent(assert.AnError),
		} {
			for _, killed := range []bool{false, true} {
				id := fmt.Sprint(name, kind, killed)
				t.Run(id, func(t *testing.T) {
					o := attempt(t, store, id, func(ctx context.Context, tx pgx.Tx) error {
						_ = end(ctx)
						_, _ = tx.Exec(ctx, "INSERT INTO effects VALUES ('more')")
						if killed {
							kill(t, pool, tx)
						}
						return own
					})
					assert.GreaterOrEqual(t, o.Status, 500)
					require.Error(t, o.Err)
					if own != nil {
						require.ErrorContains(t, o.Err, assert.AnError.Error())
					}
					assert.Equal(t, geminihook.Processed, next(t, store, id))
					assert.NotZero(t, effects(t, pool, id))
				})
			}
		}
	}
}

// kill ends the session of the transaction.
func kill(t *testing.T, pool *pgxpool.Pool, tx pgx.Tx) {
	t.Helper()
	pid := tx.Conn().PgConn().PID()
	run(t, pool, "SELECT pg_terminate_backend($1)", pid)
	eventually(t, pool, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1", pid)
}

// TestConnectionLost: between the function and the end, or while the function runs.
func TestConnectionLost(t *testing.T) {
	store, pool := open(t)
	run(t, pool, "CREATE TABLE effects (id text)")
	for kind, own := range map[string]error{
		"nil":       nil,
		"error":     assert.AnError,
		"permanent": geminihook.Permanent(assert.AnError),
	} {
		for _, noticed := range []bool{false, true} {
			id := fmt.Sprint(kind, noticed)
			t.Run(id, func(t *testing.T) {
				o := attempt(t, store, id, func(ctx context.Context, tx pgx.Tx) error {
					kill(t, pool, tx)
					if noticed {
						_, err := tx.Exec(ctx, "SELECT 1")
						require.Error(t, err)
					}
					return own
				})
				want := geminihook.Unavailable
				if kind == "error" {
					want = geminihook.Failed
				}
				assert.Equal(t, want, o.Result, o.Err)
				assert.Zero(t, effects(t, pool, id))
				assert.Equal(t, geminihook.Processed, next(t, store, id))
			})
		}
	}
}

// lossyConn loses what it would read next, once lose is stored. It first calls it.
type lossyConn struct {
	net.Conn
	lose *atomic.Pointer[func()]
}

func (c *lossyConn) Read(b []byte) (int, error) {
	lose := c.lose.Swap(nil)
	if lose == nil {
		return c.Conn.Read(b)
	}
	(*lose)()
	return 0, io.ErrUnexpectedEOF
}

// TestCommitLost: the sender gets a 503 if the result of the commit is lost, and its
// next attempt finds out.
func TestCommitLost(t *testing.T) {
	var lose atomic.Pointer[func()]
	store, pool := open(t, maxConns(2), func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &lossyConn{Conn: conn, lose: &lose}, err
		}
	})
	run(t, pool, "CREATE TABLE effects (id text)")
	watch := connect(t, server.Postgres(t).URL, sameSchema(pool))
	committed := func() {
		eventually(t, watch, "SELECT count(*) = 1 FROM effects WHERE id = 'msg_1'")
	}
	require.Equal(t, geminihook.Processed, attempt(t, store, "warm", nothing).Result)
	o := attempt(t, store, "msg_1", func(context.Context, pgx.Tx) error {
		lose.Store(&committed)
		return nil
	})
	assert.Equal(t, geminihook.Unavailable, o.Result)
	require.ErrorContains(t, o.Err, "its result is unknown")
	assert.Equal(t, geminihook.Duplicate, attempt(t, store, "msg_1", nothing).Result)
	assert.Equal(t, 1, effects(t, watch, "msg_1"))
}

// TestRevivedClaim: the holder of a claim whose lease has ended completes or renews
// it while a transaction runs. Only one of them is counted.
func TestRevivedClaim(t *testing.T) {
	store, pool := open(t)
	run(t, pool, "CREATE TABLE effects (id text)")
	for name, revive := range map[string]func(key, token string) error{
		"Complete": func(key, token string) error {
			return store.Complete(t.Context(), key, token, time.Hour)
		},
		"Renew": func(key, token string) error {
			return store.Renew(t.Context(), key, token, time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			key := "v1:" + name
			withPrefix := func(_ context.Context, ev *geminihook.Event) (string, error) {
				return "v1:" + ev.ID, nil
			}
			token := acquire(t, store, key, time.Millisecond, time.Hour)
			eventually(t, pool, lapsed, []byte(key))
			endpoint := &geminihook.Endpoint{Transactor: store, Key: withPrefix}
			o := process(t, endpoint, name, func(ctx context.Context) error {
				_, err := begun(t, ctx).Exec(ctx, "INSERT INTO effects VALUES ($1)", name)
				require.NoError(t, err)
				return revive(key, token)
			})
			assert.Equal(t, geminihook.Unavailable, o.Result)
			require.ErrorContains(t, o.Err, "was renewed or completed")
			assert.Zero(t, effects(t, pool, name))
		})
	}
}

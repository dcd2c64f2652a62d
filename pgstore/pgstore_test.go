package pgstore_test

import (
	"context"
	"fmt"
	"net"
	"sync"
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
				tx := beginWith(t, pool, "UPDATE geminihook_deliveries SET attempt = attempt WHERE key = '"+name+"'")
				result := make(chan error, 1)
				go func() { result <- do(name, token) }()
				eventually(t, pool, "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))",
					tx.Conn().PgConn().PID())
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
	assert.True(t, get[bool](t, pool, "SELECT lease > clock_timestamp() + interval '30 minutes' FROM geminihook_deliveries"), "a new lease")
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
		eventually(t, pool, "SELECT expires < clock_timestamp() FROM geminihook_deliveries WHERE key = $1", []byte(name))
		require.NoError(t, do(name, token), name)
		key := name + "2"
		token = acquire(t, store, key, 50*time.Millisecond, time.Hour)
		eventually(t, pool, "SELECT lease < clock_timestamp() FROM geminihook_deliveries WHERE key = $1", []byte(key))
		assert.Equal(t, 2, claim(t, store, key, "another", time.Hour, time.Hour).Attempt)
		require.ErrorIs(t, do(key, token), geminihook.ErrLeaseLost, name)
	}
}

// heldConn calls a function before one of its writes, which are counted from the
// moment when the hold is stored.
type heldConn struct {
	net.Conn
	hold   *atomic.Pointer[hold]
	writes int
}

type hold struct {
	write int
	do    func()
}

func (c *heldConn) Write(b []byte) (int, error) {
	hold := c.hold.Load()
	if hold == nil {
		return c.Conn.Write(b)
	}
	c.writes++
	if c.writes == hold.write {
		c.writes = 0
		c.hold.Store(nil)
		hold.do()
	}
	return c.Conn.Write(b)
}

// openHeld returns a store with one connection, which heeds the hold, and a pool of
// other connections.
func openHeld(t *testing.T) (*pgstore.Store, *pgxpool.Pool, *atomic.Pointer[hold]) {
	t.Helper()
	held := new(atomic.Pointer[hold])
	store, pool := open(t, maxConns(1), func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &heldConn{Conn: conn, hold: held}, err
		}
	})
	// The driver prepares the statements.
	acquire(t, store, "warm", time.Hour, time.Hour)
	claim(t, store, "warm", "another", time.Hour, time.Hour)
	run(t, pool, "UPDATE geminihook_deliveries SET state = 0")
	acquire(t, store, "warm", time.Hour, time.Hour)
	return store, connect(t, server.Postgres(t).URL, sameSchema(pool)), held
}

// TestExpiresBetweenStatements: a key that is not free in the first statement and
// free in the second is claimed, and not in progress.
func TestExpiresBetweenStatements(t *testing.T) {
	store, others, held := openHeld(t)
	for name, sql := range map[string]string{
		"expired":  "UPDATE geminihook_deliveries SET expires = clock_timestamp() WHERE key = 'expired'",
		"released": "UPDATE geminihook_deliveries SET state = 0 WHERE key = 'released'",
		"purged":   "DELETE FROM geminihook_deliveries WHERE key = 'purged'",
	} {
		acquire(t, store, name, time.Hour, time.Hour)
		held.Store(&hold{2, func() { run(t, others, sql) }})
		acquire(t, store, name, time.Hour, time.Hour)
		assert.Nil(t, held.Load(), "nothing was held back")
	}
}

// TestTransactionBetweenStatements: a key that is free when a claim looks at it may
// be in progress a moment later.
func TestTransactionBetweenStatements(t *testing.T) {
	store, others, held := openHeld(t)
	other := pgstore.New(others)
	fill(t, others, "expired", 1, -time.Hour)
	begun, looked, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	held.Store(&hold{3, func() {
		go func() {
			_, err := other.Transact(t.Context(), "expired1", time.Hour, func(context.Context) error {
				close(begun)
				<-looked
				return nil
			})
			ended <- err
		}()
		<-begun
	}})
	c := claim(t, store, "expired1", "token", time.Hour, time.Hour)
	close(looked)
	assert.Equal(t, geminihook.Claim{State: geminihook.InProgress}, c)
	require.NoError(t, <-ended)
}

// TestRestless: a key that changes hands each time is an error, not a loop.
func TestRestless(t *testing.T) {
	store, pool := open(t)
	run(t, pool, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	run(t, pool, "CREATE TRIGGER refuse BEFORE INSERT ON geminihook_deliveries FOR EACH ROW EXECUTE FUNCTION refuse()")
	_, err := store.Claim(t.Context(), "msg_1", "token", time.Hour, time.Hour)
	require.ErrorContains(t, err, "changed hands")
}

// TestPoolInUse: all connections are held by functions that are slower than their
// leases, so that no lease can be renewed. Each run ends before another begins.
func TestPoolInUse(t *testing.T) {
	const events = 4
	_, pool := open(t, maxConns(events))
	other := connect(t, server.Postgres(t).URL, sameSchema(pool))
	process := func(pool *pgxpool.Pool, id int, fn func(context.Context) error) geminihook.Outcome {
		endpoint := &geminihook.Endpoint{
			Store: pgstore.New(pool), Lease: time.Second, RunTimeout: limit, Logger: quiet,
		}
		return endpoint.Process(t.Context(), &geminihook.Event{ID: fmt.Sprint("msg_", id)},
			func(ctx context.Context, _ *geminihook.Event) error { return fn(ctx) })
	}
	var all sync.WaitGroup
	defer all.Wait()
	var holding sync.WaitGroup
	for id := range events {
		ended, begun := make(chan error, 1), make(chan struct{})
		holding.Add(1)
		all.Go(func() {
			o := process(pool, id, func(ctx context.Context) error {
				conn, err := pool.Acquire(ctx)
				require.NoError(t, err)
				defer conn.Release()
				holding.Done()
				<-ctx.Done()
				ended <- context.Cause(ctx)
				<-begun
				return nil
			})
			assert.ErrorIs(t, o.Err, geminihook.ErrLeaseLost, "another run has taken the event")
		})
		all.Go(func() {
			holding.Wait()
			assert.Eventually(t, func() bool {
				o := process(other, id, func(context.Context) error {
					close(begun)
					assert.ErrorIs(t, <-ended, geminihook.ErrLeaseLost)
					return nil
				})
				return o.Result == geminihook.Processed
			}, limit, tick)
		})
	}
}

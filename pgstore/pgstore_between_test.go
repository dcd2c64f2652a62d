package pgstore_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
			wait := func(context.Context) error {
				close(begun)
				<-looked
				return nil
			}
			_, err := other.Transact(t.Context(), "expired1", time.Hour, wait)
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

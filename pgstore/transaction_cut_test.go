package pgstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cutConn is cut after a number of messages, which the server executes as they
// arrive.
type cutConn struct {
	net.Conn
	armed atomic.Bool
	left  int
}

func (c *cutConn) Write(b []byte) (int, error) {
	if !c.armed.Load() {
		return c.Conn.Write(b)
	}
	for sent := 0; sent < len(b); c.left-- {
		if c.left == 0 {
			c.armed.Store(false)
			_ = c.Close()
			return sent, errors.New("cut")
		}
		length := 1 + int(binary.BigEndian.Uint32(b[sent+1:])) // after the type
		n, err := c.Conn.Write(b[sent : sent+length])
		if sent += n; err != nil {
			return sent, err
		}
	}
	return len(b), nil
}

func openCut(t *testing.T) (*pgstore.Store, *pgxpool.Pool) {
	t.Helper()
	store, pool := open(t, func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &cutConn{Conn: conn}, err
		}
	})
	run(t, pool, "CREATE TABLE effects (id text)")
	return store, pool
}

// TestCut: the connection is cut after each of the messages that end a transaction, in
// turn, also of one that the function has ended by itself. An event is a duplicate
// afterward only if what the function wrote is there.
func TestCut(t *testing.T) {
	for name, ending := range map[string][]string{
		"none":               nil,
		"COMMIT":             {"COMMIT"},
		"ROLLBACK":           {"ROLLBACK"},
		"COMMIT AND CHAIN":   {"COMMIT AND CHAIN"},
		"ROLLBACK AND CHAIN": {"ROLLBACK AND CHAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			store, pool := openCut(t)
			for messages := 0; ; messages++ {
				id := fmt.Sprint("msg_", messages)
				var conn *cutConn
				first := attempt(t, store, id, func(ctx context.Context, tx pgx.Tx) error {
					err := execute(ctx, ending)
					conn = tx.Conn().PgConn().Conn().(*cutConn)
					conn.left = messages
					conn.armed.Store(true)
					return err
				})
				if conn.armed.Swap(false) { // there were fewer messages
					require.Greater(t, messages, 5, "there are at least three statements")
					assert.Equal(t, ending == nil, first.Result == geminihook.Processed)
					return
				}
				require.NotEqual(t, geminihook.Processed, first.Result, "%d messages", messages)
				checkCut(t, store, pool, id, ending)
			}
		})
	}
}

// checkCut delivers the event again and checks what is there then.
func checkCut(
	t *testing.T, store *pgstore.Store, pool *pgxpool.Pool, id string, ending []string,
) {
	t.Helper()
	again := next(t, store, id)
	if ending != nil {
		assert.Equal(t, geminihook.Processed, again)
	}
	want := 1
	if ending != nil && strings.HasPrefix(ending[0], "COMMIT") {
		want = 2 // the function has committed one by itself
	}
	assert.Equal(t, want, effects(t, pool, id))
}

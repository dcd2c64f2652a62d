package drivertest

import (
	"context"
	"database/sql"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Vanished tests that the server rolls back the transaction of a client that has
// vanished without a word, soon after the deadline of its context. The first
// database is connected through the proxy, and the second is the same, connected
// directly.
func Vanished(t *testing.T, d sqlstore.Dialect, proxy *testserver.Proxy, proxied, direct *sql.DB) {
	t.Helper()
	first, second := sqlstore.New(proxied, d), sqlstore.New(direct, d)
	require.NoError(t, first.Migrate(t.Context()))
	var err error
	for begun := false; !begun; { // which can take longer on a busy machine
		begun, err = vanish(t, proxy, first, second)
	}
	require.ErrorIs(t, err, geminihook.ErrStore)
	state, err := second.Transact(t.Context(), "msg_1", time.Hour, nil)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Done, state)
}

// vanish begins a transaction of the first store, whose client vanishes, and waits
// until the second can have its key. It reports whether the first began in time.
func vanish(
	t *testing.T, proxy *testserver.Proxy, first, second *sqlstore.Store,
) (begun bool, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = first.Transact(ctx, "msg_1", time.Hour, func(context.Context) error {
		begun = true
		defer proxy.Hold()()
		assert.Eventually(t, func() bool {
			state, err := second.Transact(t.Context(), "msg_1", time.Hour, succeed)
			require.NoError(t, err)
			return state == geminihook.Acquired
		}, time.Minute, 100*time.Millisecond)
		return nil
	})
	return begun, err
}

// Proxied returns a proxy to the server, and the data source name that uses it.
func Proxied(t *testing.T, dsn string) (*testserver.Proxy, string) {
	t.Helper()
	addr := address.FindString(dsn)
	proxy := testserver.NewProxy(t, addr)
	return proxy, strings.Replace(dsn, addr, proxy.Addr, 1)
}

var address = regexp.MustCompile(`[a-z0-9.-]+:[0-9]+`)

// silent returns the data source name of a server that accepts connections and
// never responds.
func silent(t *testing.T, dsn string) string {
	t.Helper()
	proxy, dsn := Proxied(t, dsn)
	t.Cleanup(proxy.Hold())
	return dsn
}

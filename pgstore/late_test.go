package pgstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLateClaims: a claim that the database carries out after its caller has
// gone does not keep the event from being handled.
func TestLateClaims(t *testing.T) {
	own := testserver.NewPostgres(t)
	proxy := testserver.NewProxy(t, own.Addr)
	pool := connect(t, strings.Replace(own.URL, own.Addr, proxy.Addr, 1), maxConns(8))
	store := pgstore.New(pool)
	require.NoError(t, store.Migrate(t.Context()))
	direct := pgstore.New(connect(t, own.URL))
	acquire(t, store, "warm", time.Hour, time.Hour)

	release := proxy.Hold()
	keys := make([]string, 20)
	for i := range keys {
		keys[i] = fmt.Sprint("msg_", i)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := store.Claim(ctx, keys[i], time.Hour, time.Hour)
		cancel()
		require.Error(t, err)
	}
	release()
	for _, key := range keys {
		require.Eventually(t, func() bool {
			c, err := direct.Claim(t.Context(), key, time.Millisecond, time.Hour)
			require.NoError(t, err)
			return c.State == geminihook.Acquired
		}, limit, tick, key)
	}
	_, err := store.Claim(t.Context(), "after", time.Hour, time.Hour)
	require.NoError(t, err)

	// A call that certainly did nothing is not looked for, and a closed pool
	// ends the search.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Claim(ctx, "cancelled", time.Hour, time.Hour)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, acquire(t, store, "cancelled", time.Hour, time.Hour).Attempt)
}

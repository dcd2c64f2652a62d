package drivertest

import (
	"database/sql"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// RoundTrips tests how many round trips the calls of a store take on a warm
// connection. The function of Transact takes none.
func RoundTrips(
	t *testing.T, db *sql.DB, d sqlstore.Dialect, trips *testserver.RoundTrips, want map[string]int,
) {
	t.Helper()
	db.SetMaxOpenConns(1)
	store := sqlstore.New(db, d)
	require.NoError(t, store.Migrate(t.Context()))
	ctx := t.Context()
	claim := func(key string) func() error {
		return func() error {
			_, err := store.Claim(ctx, key, "token", time.Minute, time.Hour)
			return err
		}
	}
	transact := func(key string) func() error {
		return func() error {
			_, err := store.Transact(ctx, key, time.Hour, succeed)
			return err
		}
	}
	calls := []struct {
		name string
		call func() error
	}{
		{"Claim", claim("a")},
		{"Renew", func() error { return store.Renew(ctx, "a", "token", time.Minute) }},
		{"Complete", func() error { return store.Complete(ctx, "a", "token", time.Hour) }},
		{"duplicate", claim("a")},
		{"Claim", claim("b")},
		{"Release", func() error { return store.Release(ctx, "b", "token") }},
		{"Transact", transact("c")},
		{"duplicate of Transact", transact("c")},
	}
	// The driver prepares a statement when it meets it first, and the first claim
	// of a minute purges.
	for _, c := range calls {
		require.NoError(t, c.call())
	}
	_, err := db.ExecContext(ctx, "DELETE FROM geminihook_deliveries")
	require.NoError(t, err)
	trips.Count()
	for _, c := range calls {
		require.NoError(t, c.call())
		assert.Equal(t, want[c.name], trips.Count(), c.name)
	}
}

package pgstore_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMigrateAtOnce(t *testing.T) {
	schema := newSchema(t, connect(t, server.Postgres(t).URL))
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		store := pgstore.New(connect(t, server.Postgres(t).URL, searchPath(schema)))
		all.Go(func() {
			for range 3 {
				if err := store.Migrate(t.Context()); err != nil {
					errs[i] = err
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// TestMigrateWithoutCreate: a role that may only use the table starts the
// program.
func TestMigrateWithoutCreate(t *testing.T) {
	admin := connect(t, server.Postgres(t).URL)
	schema := newSchema(t, admin)
	user, role := withRole(t, connect(t, server.Postgres(t).URL, searchPath(schema)))
	store := pgstore.New(user)
	require.ErrorContains(t, store.Migrate(t.Context()), "permission denied")

	owner := pgstore.New(connect(t, server.Postgres(t).URL, searchPath(schema)))
	require.NoError(t, owner.Migrate(t.Context()))
	run(t, admin, "GRANT "+rights+" ON "+schema+".geminihook_deliveries TO "+role)
	require.NoError(t, store.Migrate(t.Context()))
	token := acquire(t, store, "msg_1", time.Hour, time.Hour)
	require.NoError(t, store.Complete(t.Context(), "msg_1", token, time.Millisecond))
	assert.Equal(t, geminihook.Acquired, transact(t, store, "msg_2", succeed))
	require.NoError(t, store.Check(t.Context()))
	_, err := store.Purge(t.Context(), 0)
	require.NoError(t, err)
}

func TestMigrateVersion(t *testing.T) {
	store, pool := open(t)
	for comment, want := range map[string]string{
		"''":   "was lost",
		"NULL": "was lost",
		"'geminihook pgstore, schema version 1000'": "schema version 1000",
	} {
		run(t, pool, "COMMENT ON TABLE geminihook_deliveries IS "+comment)
		require.ErrorContains(t, store.Migrate(t.Context()), want)
	}
	run(t, pool, "DROP TABLE geminihook_deliveries")
	_, err := store.Claim(t.Context(), "msg_1", "token", time.Hour, time.Hour)
	require.ErrorContains(t, err, "call Migrate")
	schema, err := os.ReadFile("schema.sql")
	require.NoError(t, err)
	run(t, pool, string(schema)) // with a migration tool
	require.NoError(t, store.Migrate(t.Context()))
	acquire(t, store, "msg_1", time.Hour, time.Hour)
}

// TestNames: stores with different tables are apart, down to their locks.
func TestNames(t *testing.T) {
	pool := connect(t, server.Postgres(t).URL)
	one, two := newSchema(t, pool), newSchema(t, pool)
	var stores []*pgstore.Store
	for _, name := range [][2]string{{one, ""}, {two, ""}, {one, "other"}, {one, `It's "quoted" TABLE FREE NUMBER`}} {
		store := pgstore.New(pool)
		store.Schema, store.Table, store.MaxTransactions = name[0], name[1], 1
		require.NoError(t, store.Migrate(t.Context()))
		require.NoError(t, store.Migrate(t.Context()), "again")
		stores = append(stores, store)
	}
	for _, store := range stores {
		acquire(t, store, "msg_1", time.Hour, time.Hour)
		_, err := store.Purge(t.Context(), 0)
		require.NoError(t, err)
	}
	for _, other := range stores[1:] {
		key := "msg_" + other.Schema + other.Table
		transact(t, stores[0], key, func(context.Context) error {
			assert.Equal(t, geminihook.Acquired, transact(t, other, key, succeed))
			return nil
		})
	}
}

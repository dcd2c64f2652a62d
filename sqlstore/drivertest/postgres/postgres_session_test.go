package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHalfPrepared: a session in which preparing failed halfway, because an index was
// being created, prepares again what it lacks.
func TestHalfPrepared(t *testing.T) {
	for _, name := range []string{"pgx", "postgres"} {
		t.Run(name, func(t *testing.T) {
			dsn := newDSN(t)
			admin := drivertest.Connect(t, "pgx", dsn)
			require.NoError(t, sqlstore.New(admin, sqlstore.PostgreSQL).Migrate(t.Context()))
			db := drivertest.Connect(t, name, dsn+"&lock_timeout=200")
			db.SetMaxOpenConns(1)
			store := sqlstore.New(db, sqlstore.PostgreSQL)
			tx, err := admin.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), "LOCK TABLE geminihook_deliveries IN SHARE MODE")
			require.NoError(t, err)
			ran := 0
			fn := func(context.Context) error {
				ran++
				return nil
			}
			_, err = store.Transact(t.Context(), "msg_1", time.Hour, fn)
			require.Error(t, err)
			require.NoError(t, tx.Commit())
			_, err = store.Transact(t.Context(), "msg_1", time.Hour, fn)
			require.NoError(t, err)
			assert.Equal(t, 1, ran)
		})
	}
}

// TestDeallocate: a function that removes the session's statements is told, and the next
// one has others.
func TestDeallocate(t *testing.T) {
	db := drivertest.Connect(t, "pgx", newDSN(t))
	db.SetMaxOpenConns(1)
	store := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, store.Migrate(t.Context()))
	_, err := store.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DEALLOCATE ALL")
		return err
	})
	require.ErrorContains(t, err, "the function removed the session's prepared statements")
	state, err := store.Transact(t.Context(), "msg_1", time.Hour,
		func(context.Context) error { return nil })
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, state)
}

package postgres_test

import (
	"context"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/geminihook/geminihook/storetest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// TestBesidePgstore tests that programs with either package can run side by side.
func TestBesidePgstore(t *testing.T) {
	t.Parallel()
	var dsn string
	first := func(t *testing.T) *sqlstore.Store {
		t.Helper()
		dsn = newDSN(t)
		store := sqlstore.New(drivertest.Connect(t, "pgx", dsn), sqlstore.PostgreSQL)
		require.NoError(t, store.Migrate(t.Context()))
		return store
	}
	second := func(t *testing.T) *pgstore.Store {
		t.Helper()
		pool, err := pgxpool.New(t.Context(), dsn)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		store := pgstore.New(pool)
		require.NoError(t, store.Migrate(t.Context()), "of a table that the other has created")
		return store
	}
	t.Run("Store", func(t *testing.T) {
		storetest.Suite{
			New:    func(t *testing.T) geminihook.Store { return first(t) },
			Second: func(t *testing.T, _ geminihook.Store) geminihook.Store { return second(t) },
		}.Run(t)
	})
	t.Run("Transactor", func(t *testing.T) {
		storetest.TransactorSuite{
			New: func(t *testing.T) geminihook.Transactor { return first(t) },
			Second: func(t *testing.T, _ geminihook.Transactor) geminihook.Transactor {
				return second(t)
			},
			Writes: func(t *testing.T, _ geminihook.Transactor) storetest.Writes {
				return eitherWrites(t, dsn)
			},
		}.Run(t)
	})
}

// eitherWrites writes in the transaction of either package.
func eitherWrites(t *testing.T, dsn string) storetest.Writes {
	t.Helper()
	db := drivertest.Connect(t, "pgx", dsn)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE suite_writes (name text NOT NULL)")
	require.NoError(t, err)
	const insert = "INSERT INTO suite_writes VALUES ($1)"
	return storetest.Writes{
		Write: func(ctx context.Context, name string) error {
			if tx, err := sqlstore.Tx(ctx); err == nil {
				_, err := tx.ExecContext(ctx, insert, name)
				return err
			}
			tx, err := pgstore.Tx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, insert, name)
			return err
		},
		Count: func(ctx context.Context, name string) (n int, err error) {
			const count = "SELECT count(*) FROM suite_writes WHERE name = $1"
			err = db.QueryRowContext(ctx, count, name).Scan(&n)
			return n, err
		},
	}
}

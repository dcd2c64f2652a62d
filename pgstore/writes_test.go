package pgstore_test

import (
	"context"
	"testing"

	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// writes shows the suite what the transactions of a store on the pool commit.
func writes(t *testing.T, pool *pgxpool.Pool) storetest.Writes {
	t.Helper()
	_, err := pool.Exec(t.Context(), "CREATE TABLE suite_writes (name text NOT NULL)")
	require.NoError(t, err)
	return storetest.Writes{
		Write: func(ctx context.Context, name string) error {
			tx, _ := pgstore.Tx(ctx)
			_, err := tx.Exec(ctx, "INSERT INTO suite_writes VALUES ($1)", name)
			return err
		},
		Count: func(ctx context.Context, name string) (n int, err error) {
			err = pool.QueryRow(ctx, "SELECT count(*) FROM suite_writes WHERE name = $1", name).Scan(&n)
			return n, err
		},
	}
}

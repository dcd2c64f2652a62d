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
func writes(t *testing.T, pool *pgxpool.Pool, schema string) storetest.Writes {
	t.Helper()
	table := schema + ".suite_writes"
	_, err := pool.Exec(t.Context(), "CREATE TABLE "+table+" (name text NOT NULL)")
	require.NoError(t, err)
	return storetest.Writes{
		Write: func(ctx context.Context, name string) error {
			tx, err := pgstore.RequireTx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", name)
			return err
		},
		Count: func(ctx context.Context, name string) (n int, err error) {
			err = pool.QueryRow(ctx, "SELECT count(*) FROM "+table+" WHERE name = $1", name).Scan(&n)
			return n, err
		},
	}
}

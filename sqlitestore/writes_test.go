package sqlitestore_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/require"
)

// writes shows the suite what the transactions of a store in the database commit.
func writes(t *testing.T, db *sql.DB) storetest.Writes {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "CREATE TABLE suite_writes (name TEXT NOT NULL)")
	require.NoError(t, err)
	return storetest.Writes{
		Write: func(ctx context.Context, name string) error {
			tx, _ := sqlitestore.Tx(ctx)
			_, err := tx.ExecContext(ctx, "INSERT INTO suite_writes VALUES (?)", name)
			return err
		},
		Count: func(ctx context.Context, name string) (n int, err error) {
			err = db.QueryRowContext(ctx, "SELECT count(*) FROM suite_writes WHERE name = ?", name).Scan(&n)
			return n, err
		},
	}
}

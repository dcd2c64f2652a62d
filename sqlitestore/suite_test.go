package sqlitestore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/require"
)

func TestStore(t *testing.T) {
	var file string
	var db *sql.DB
	storetest.Suite{
		Writes: func(t *testing.T, _ geminihook.Store) storetest.Writes { return writes(t, db) },
		New: func(t *testing.T) geminihook.Store {
			file = filepath.Join(t.TempDir(), "test.db")
			var store *sqlitestore.Store
			store, db = open(t, file)
			return store
		},
		Second: func(t *testing.T, _ geminihook.Store) geminihook.Store { return sqlitestore.New(connect(t, file)) },
		Gone:   func(t *testing.T) geminihook.Store { return closed(t) },
	}.Run(t)
}

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

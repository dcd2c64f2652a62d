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
	storetest.Suite{
		New: func(t *testing.T) geminihook.Store {
			file = filepath.Join(t.TempDir(), "test.db")
			store, _ := open(t, file)
			return store
		},
		Second: func(t *testing.T, _ geminihook.Store) geminihook.Store { return sqlitestore.New(connect(t, file)) },
		Gone:   func(t *testing.T) geminihook.Store { return closed(t) },
	}.Run(t)
}

func TestTransactor(t *testing.T) {
	var file string
	var db *sql.DB
	storetest.TransactorSuite{
		New: func(t *testing.T) geminihook.Transactor {
			file = filepath.Join(t.TempDir(), "test.db")
			var store *sqlitestore.Store
			store, db = open(t, file)
			return store
		},
		Second: func(t *testing.T, _ geminihook.Transactor) geminihook.Transactor { return sqlitestore.New(connect(t, file)) },
		Gone:   func(t *testing.T) geminihook.Transactor { return closed(t) },
		Writes: func(t *testing.T, _ geminihook.Transactor) storetest.Writes { return writes(t, db) },
		Waits:  true,
	}.Run(t)
}

// writes shows the suite what the transactions of a store in the database commit.
func writes(t *testing.T, db *sql.DB) storetest.Writes {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "CREATE TABLE suite_writes (name TEXT NOT NULL)")
	require.NoError(t, err)
	exec := func(query string, args ...any) func(context.Context) error {
		return func(ctx context.Context) error {
			tx, err := sqlitestore.Tx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, query, args...)
			return err
		}
	}
	return storetest.Writes{
		Write: func(ctx context.Context, name string) error {
			return exec("INSERT INTO suite_writes VALUES (?)", name)(ctx)
		},
		Count: func(ctx context.Context, name string) (n int, err error) {
			err = db.QueryRowContext(ctx, "SELECT count(*) FROM suite_writes WHERE name = ?", name).Scan(&n)
			return n, err
		},
		Endings: map[string]func(context.Context) error{
			"COMMIT":              exec("COMMIT"),
			"ROLLBACK":            exec("ROLLBACK"),
			"COMMIT then BEGIN":   exec("COMMIT; BEGIN"),
			"ROLLBACK then BEGIN": exec("ROLLBACK; BEGIN"),
		},
	}
}

package pgstore_test

import (
	"context"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// TestSuites runs the suites with prepared statements. TestPgBouncer runs them
// without.
func TestSuites(t *testing.T) {
	for name, change := range map[string]func(*pgxpool.Config){
		"default":      func(*pgxpool.Config) {},
		"serializable": isolation("serializable"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suites(t, server.Postgres(t).URL, change)
		})
	}
}

func suites(t *testing.T, url string, change func(*pgxpool.Config)) {
	t.Helper()
	t.Run("Store", func(t *testing.T) {
		t.Parallel() // it waits more than it works
		h := newHandles(t, url, change)
		storetest.Suite{
			New: func(t *testing.T) geminihook.Store { return h.newTable(t) },
			Second: func(*testing.T, geminihook.Store) geminihook.Store {
				return h.store(h.second)
			},
			Gone: func(t *testing.T) geminihook.Store { return gone(t) },
		}.Run(t)
	})
	t.Run("Transactor", func(t *testing.T) {
		t.Parallel()
		h := newHandles(t, url, change)
		storetest.TransactorSuite{
			New: func(t *testing.T) geminihook.Transactor { return h.newTable(t) },
			Second: func(*testing.T, geminihook.Transactor) geminihook.Transactor {
				return h.store(h.second)
			},
			Writes: func(t *testing.T, _ geminihook.Transactor) storetest.Writes {
				return h.writes(t)
			},
			Gone: func(t *testing.T) geminihook.Transactor { return gone(t) },
		}.Run(t)
	})
}

// gone returns a store whose server cannot be reached.
func gone(t *testing.T) *pgstore.Store {
	t.Helper()
	return pgstore.New(connect(t, server.Postgres(t).URL, func(c *pgxpool.Config) {
		c.ConnConfig.Port = 1
	}))
}

// handles are the pools that all subtests of a suite share, because the server
// starts a process for every connection.
type handles struct {
	first, second, others *pgxpool.Pool
	schema                string
}

func newHandles(t *testing.T, url string, change func(*pgxpool.Config)) *handles {
	t.Helper()
	return &handles{
		first:  connect(t, url, change),
		second: connect(t, url, change),
		others: connect(t, server.Postgres(t).URL),
	}
}

// newTable returns a store with an empty table in a new schema.
func (h *handles) newTable(t *testing.T) *pgstore.Store {
	t.Helper()
	h.schema = newSchema(t, h.others)
	store := h.store(h.first)
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

func (h *handles) store(pool *pgxpool.Pool) *pgstore.Store {
	store := pgstore.New(pool)
	store.Schema = h.schema
	return store
}

// writes shows the suite what transactions commit.
func (h *handles) writes(t *testing.T) storetest.Writes {
	t.Helper()
	table := h.schema + ".suite_writes"
	run(t, h.others, "CREATE TABLE IF NOT EXISTS "+table+" (name text NOT NULL)")
	return storetest.Writes{
		Write: func(ctx context.Context, name string) error {
			tx, err := pgstore.Tx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", name)
			return err
		},
		Count: func(ctx context.Context, name string) (n int, err error) {
			row := h.others.QueryRow(ctx, "SELECT count(*) FROM "+table+" WHERE name = $1", name)
			return n, row.Scan(&n)
		},
		Endings: endings(),
	}
}

// endings are the ways to end a transaction by SQL, and those that only look like
// it.
func endings() map[string]func(context.Context) error {
	all := map[string]func(context.Context) error{}
	for _, statements := range [][]string{
		{"COMMIT"},
		{"ROLLBACK"},
		{"COMMIT AND CHAIN"},
		{"ROLLBACK AND CHAIN"},
		{"COMMIT", "BEGIN"},
		{"ROLLBACK", "BEGIN"},
		{"PREPARE TRANSACTION 'geminihook'"},
		{"COMMIT", "BEGIN", "SAVEPOINT sp_1"},
		{"COMMIT", "BEGIN", "SAVEPOINT geminihook"},
		{"SELECT 1/0", "ROLLBACK", "BEGIN"},
	} {
		name := ""
		for _, sql := range statements {
			name += sql + ";"
		}
		all[name] = func(ctx context.Context) error { return execute(ctx, statements) }
	}
	return all
}

// execute executes SQL in the function's transaction. It returns the last error.
func execute(ctx context.Context, statements []string) error {
	tx, err := pgstore.Tx(ctx)
	if err != nil {
		return err
	}
	for _, sql := range statements {
		_, err = tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	}
	return err
}

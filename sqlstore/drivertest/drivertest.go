// Package drivertest tests sqlstore with the drivers of the databases. It is a
// module of its own, so that sqlstore requires none of them.
package drivertest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/require"
)

// Backend is what the suites need to know about a driver and its database.
type Backend struct {
	Dialect sqlstore.Dialect

	// Open opens an empty database, and returns how to open it again.
	Open func(t *testing.T) (open func(t *testing.T) *sql.DB)

	// Endings are statements that end a transaction.
	Endings map[string][]string

	// Insert inserts a name into the table suite_writes, and Count counts it.
	Insert, Count string

	// Waits is that of storetest.TransactorSuite.
	Waits bool
}

// Run runs both suites, in parallel.
func Run(t *testing.T, b Backend) {
	t.Run("Store", func(t *testing.T) {
		t.Parallel()
		b.store(t)
	})
	t.Run("Transactor", func(t *testing.T) {
		t.Parallel()
		b.transactor(t)
	})
}

// handles is the database of a subtest.
type handles struct {
	backend Backend
	open    func(t *testing.T) *sql.DB
	db      *sql.DB // of the first store
}

func (b Backend) handles() *handles { return &handles{backend: b} }

func (h *handles) first(t *testing.T) *sqlstore.Store {
	t.Helper()
	h.open = h.backend.Open(t)
	h.db = h.open(t)
	store := sqlstore.New(h.db, h.backend.Dialect)
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

func (h *handles) second(t *testing.T) *sqlstore.Store {
	t.Helper()
	return sqlstore.New(h.open(t), h.backend.Dialect)
}

// gone returns a store whose database was closed.
func (h *handles) gone(t *testing.T) *sqlstore.Store {
	t.Helper()
	store := h.first(t)
	require.NoError(t, h.db.Close())
	return store
}

func (b Backend) store(t *testing.T) {
	h := b.handles()
	storetest.Suite{
		New:    func(t *testing.T) geminihook.Store { return h.first(t) },
		Second: func(t *testing.T, _ geminihook.Store) geminihook.Store { return h.second(t) },
		Gone:   func(t *testing.T) geminihook.Store { return h.gone(t) },
	}.Run(t)
}

func (b Backend) transactor(t *testing.T) {
	h := b.handles()
	storetest.TransactorSuite{
		New:    func(t *testing.T) geminihook.Transactor { return h.first(t) },
		Second: func(t *testing.T, _ geminihook.Transactor) geminihook.Transactor { return h.second(t) },
		Gone:   func(t *testing.T) geminihook.Transactor { return h.gone(t) },
		Writes: func(t *testing.T, _ geminihook.Transactor) storetest.Writes { return h.writes(t) },
		Waits:  b.Waits,
	}.Run(t)
}

// writes shows the suite what the transactions commit.
func (h *handles) writes(t *testing.T) storetest.Writes {
	t.Helper()
	_, err := h.db.ExecContext(t.Context(), "CREATE TABLE suite_writes (name VARCHAR(16) NOT NULL)")
	require.NoError(t, err)
	w := storetest.Writes{
		Write: func(ctx context.Context, name string) error { return execInTx(ctx, h.backend.Insert, name) },
		Count: func(ctx context.Context, name string) (n int, err error) {
			err = h.db.QueryRowContext(ctx, h.backend.Count, name).Scan(&n)
			return n, err
		},
		Endings: map[string]func(context.Context) error{},
	}
	for name, queries := range h.backend.Endings {
		w.Endings[name] = func(ctx context.Context) error {
			for _, query := range queries {
				if err := execInTx(ctx, query); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return w
}

func execInTx(ctx context.Context, query string, args ...any) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, query, args...)
	return err
}

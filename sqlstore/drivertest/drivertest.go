// Package drivertest tests sqlstore with the drivers of the databases. It is a
// separate module, so that sqlstore requires none of them.
package drivertest

import (
	"context"
	"database/sql"
	"strings"
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

	// Aborts means that a statement that fails aborts its transaction.
	Aborts bool

	// Gone returns the data source name of a server that does not respond. Nil
	// means that the database is closed instead.
	Gone func(t *testing.T) *sql.DB
}

// Run runs all tests, in parallel.
func Run(t *testing.T, b Backend) {
	for name, test := range map[string]func(t *testing.T){
		"Store":        b.testStore,
		"Transactor":   b.testTransactor,
		"outcomes":     b.testOutcomes,
		"endings":      b.testEndings,
		"use":          b.TestUse,
		"connection":   b.testOneConnection,
		"clean pool":   b.testCleanPool,
		"after return": b.testAfterReturn,
		"transaction":  b.testNoTransaction,
		"migrate":      b.testMigrate,
		"purge":        b.testPurge,
		"run again":    b.testRunAgain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
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

// gone returns a store whose server does not respond, or whose database was closed.
func (h *handles) gone(t *testing.T) *sqlstore.Store {
	t.Helper()
	if h.backend.Gone != nil {
		return sqlstore.New(h.backend.Gone(t), h.backend.Dialect)
	}
	store := h.first(t)
	require.NoError(t, h.db.Close())
	return store
}

func (b Backend) testStore(t *testing.T) {
	h := b.handles()
	storetest.Suite{
		New:    func(t *testing.T) geminihook.Store { return h.first(t) },
		Second: func(t *testing.T, _ geminihook.Store) geminihook.Store { return h.second(t) },
		Gone:   func(t *testing.T) geminihook.Store { return h.gone(t) },
	}.Run(t)
}

func (b Backend) testTransactor(t *testing.T) {
	h := b.handles()
	storetest.TransactorSuite{
		New: func(t *testing.T) geminihook.Transactor { return h.first(t) },
		Second: func(t *testing.T, _ geminihook.Transactor) geminihook.Transactor {
			return h.second(t)
		},
		Gone:   func(t *testing.T) geminihook.Transactor { return h.gone(t) },
		Writes: func(t *testing.T, _ geminihook.Transactor) storetest.Writes { return h.writes(t) },
		Waits:  b.Waits,
	}.Run(t)
}

// writes shows the suite what the transactions commit.
func (h *handles) writes(t *testing.T) storetest.Writes {
	t.Helper()
	h.exec(t, "CREATE TABLE suite_writes (name VARCHAR(16) NOT NULL)")
	w := storetest.Writes{
		Write: func(ctx context.Context, name string) error {
			return execInTx(ctx, h.backend.Insert, name)
		},
		Count: func(ctx context.Context, name string) (n int, err error) {
			err = h.db.QueryRowContext(ctx, h.backend.Count, name).Scan(&n)
			return n, err
		},
		Endings: map[string]func(context.Context) error{},
	}
	for name, queries := range h.backend.Endings {
		w.Endings[name] = func(ctx context.Context) error { return execAllInTx(ctx, queries) }
	}
	return w
}

func (h *handles) exec(t *testing.T, query string) {
	t.Helper()
	_, err := h.db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}

func (h *handles) count(t *testing.T, query string) (n int) {
	t.Helper()
	require.NoError(t, h.db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

func (b Backend) insertEffect() string {
	return strings.ReplaceAll(b.Insert, "suite_writes", "effects")
}

func execAllInTx(ctx context.Context, queries []string) error {
	for _, query := range queries {
		if err := execInTx(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func execInTx(ctx context.Context, query string, args ...any) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, query, args...)
	return err
}

func succeed(context.Context) error { return nil }

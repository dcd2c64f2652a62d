package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUse tests that a function can do with its transaction what it could do with
// one that it has begun itself.
func (b Backend) TestUse(t *testing.T) {
	h := b.handles()
	store := h.first(t)
	h.exec(t, "CREATE TABLE effects (id VARCHAR(100))")
	_, err := store.Transact(t.Context(), "msg_1", time.Hour, b.use)
	require.NoError(t, err)
	assert.Equal(t, 3, h.count(t, "SELECT count(*) FROM effects"))
}

// use writes three rows and reads them.
func (b Backend) use(ctx context.Context) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	insert, err := tx.PrepareContext(ctx, b.insertEffect())
	if err != nil {
		return err
	}
	if _, err := insert.ExecContext(ctx, "1"); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, insert).ExecContext(ctx, nil); err != nil {
		return err
	}
	if _, err := tx.Exec(b.insertEffect(), "3"); err != nil {
		return err
	}
	rows, err := tx.Query("SELECT id FROM effects ORDER BY id")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id sql.NullString
		if err := rows.Scan(&id); err != nil {
			return err
		}
	}
	return rows.Err()
}

// testOneConnection tests a pool that a program has limited to one connection, as is
// often advised for SQLite.
func (b Backend) testOneConnection(t *testing.T) {
	h := b.handles()
	h.first(t)
	h.db.SetMaxOpenConns(1)
	store := sqlstore.New(h.db, b.Dialect) // which has not prepared anything yet
	require.NoError(t, store.Migrate(t.Context()))
	require.NoError(t, store.Check(t.Context()))
	for _, want := range []geminihook.State{geminihook.Acquired, geminihook.Done} {
		state, err := store.Transact(t.Context(), "msg_1", time.Hour, succeed)
		require.NoError(t, err)
		assert.Equal(t, want, state)
	}
	c, err := store.Claim(t.Context(), "msg_1", "token", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Done, c.State)
}

// testCleanPool tests that no connection goes back to the pool inside a
// transaction or with a lock, however the run ended.
func (b Backend) testCleanPool(t *testing.T) {
	h := b.handles()
	store := h.first(t)
	h.exec(t, "CREATE TABLE effects (id VARCHAR(100))")
	h.db.SetMaxOpenConns(1)
	for name, end := range map[string]func(ctx context.Context, tx *sql.Tx, cancel func()) error{
		"error": func(context.Context, *sql.Tx, func()) error { return assert.AnError },
		"cancel": func(_ context.Context, _ *sql.Tx, cancel func()) error {
			cancel()
			return nil
		},
		"cancel a run": func(ctx context.Context, _ *sql.Tx, cancel func()) error {
			cancel()
			return ctx.Err()
		},
		"cancel rows": func(ctx context.Context, tx *sql.Tx, cancel func()) error {
			_, _ = tx.QueryContext(ctx, "SELECT * FROM effects")
			cancel()
			return ctx.Err()
		},
		"ROLLBACK": func(ctx context.Context, tx *sql.Tx, _ func()) error {
			_, _ = tx.ExecContext(ctx, "ROLLBACK")
			return nil
		},
		"panic": func(_ context.Context, _ *sql.Tx, cancel func()) error {
			cancel()
			panic("its own")
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			func() {
				defer func() { _ = recover() }()
				_, err := store.Transact(ctx, name, time.Hour, func(ctx context.Context) error {
					if err := execInTx(ctx, b.insertEffect(), name); err != nil {
						return err
					}
					tx, _ := sqlstore.Tx(ctx)
					return end(ctx, tx, cancel)
				})
				require.Error(t, err)
			}()
			assert.Zero(t, h.count(t, "SELECT count(*) FROM effects"))
			tx, err := h.db.BeginTx(t.Context(), nil) // which fails in SQLite inside a transaction
			require.NoError(t, err)
			require.NoError(t, tx.Rollback())
			// If the connection broke, the server needs a moment to notice.
			assert.Eventually(t, func() bool {
				state, err := store.Transact(t.Context(), name, time.Hour, succeed)
				require.NoError(t, err)
				return state == geminihook.Acquired
			}, time.Minute, 10*time.Millisecond)
		})
	}
}

// testAfterReturn tests that the transaction is of no use to a goroutine that
// outlives the function.
func (b Backend) testAfterReturn(t *testing.T) {
	store := b.handles().first(t)
	var kept *sql.Tx
	_, err := store.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
		kept, _ = sqlstore.Tx(ctx)
		return nil
	})
	require.NoError(t, err)
	_, err = kept.ExecContext(t.Context(), "DELETE FROM geminihook_deliveries")
	require.ErrorIs(t, err, sql.ErrTxDone)
}

// testNoTransaction tests what a function finds that has no transaction.
func (b Backend) testNoTransaction(t *testing.T) {
	_, err := sqlstore.Tx(t.Context())
	require.ErrorContains(t, err, "set Endpoint.Transactor")
}

// testMigrate tests several processes that start at once, and what Check says
// before that.
func (b Backend) testMigrate(t *testing.T) {
	open := b.Open(t)
	stores := make([]*sqlstore.Store, 8)
	for i := range stores {
		stores[i] = sqlstore.New(open(t), b.Dialect)
	}
	require.ErrorContains(t, stores[0].Check(t.Context()), "call Migrate")
	var all sync.WaitGroup
	errs := make([]error, len(stores))
	for i, store := range stores {
		all.Go(func() { errs[i] = store.Migrate(t.Context()) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, stores[0].Check(t.Context()))
}

// testPurge tests Purge, and that Check has left nothing behind.
func (b Backend) testPurge(t *testing.T) {
	h := b.handles()
	store := h.first(t)
	const expired, fresh = 700, 10
	complete := func(key string, keep time.Duration) {
		_, err := store.Claim(t.Context(), key, "token", time.Minute, time.Hour)
		require.NoError(t, err)
		require.NoError(t, store.Complete(t.Context(), key, "token", keep))
	}
	rows := func() int { return h.count(t, "SELECT count(*) FROM geminihook_deliveries") }
	for i := range expired {
		complete("expired"+string(rune(i)), time.Millisecond)
	}
	for i := range fresh {
		complete("fresh"+string(rune(i)), time.Hour)
	}
	require.NoError(t, store.Check(t.Context()))
	all := rows()
	for _, limit := range []int{1, 600, 0} {
		n, err := store.Purge(t.Context(), limit)
		require.NoError(t, err)
		all -= n
		assert.Equal(t, all, rows())
		if limit > 0 {
			assert.LessOrEqual(t, n, limit)
		}
	}
	assert.Equal(t, fresh, all)
}

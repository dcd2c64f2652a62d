package sqlite_test

import (
	"context"
	"database/sql"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTwoProcesses tests two handles that know nothing of each other on the
// same keys.
func TestTwoProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	one, db := open(t, file)
	two, _ := open(t, file)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE effects (id TEXT)")
	require.NoError(t, err)
	const keys = 50
	var all sync.WaitGroup
	for i := range 8 {
		store := []*sqlstore.Store{one, two}[i%2]
		all.Go(func() {
			for k := range keys {
				for {
					state, err := store.Transact(t.Context(), string(rune('a'+k)), time.Hour, func(ctx context.Context) error {
						return insert(ctx, string(rune('a'+k)))
					})
					if err == nil && (state == geminihook.Acquired || state == geminihook.Done) {
						break
					}
				}
			}
		})
	}
	all.Wait()
	assert.Equal(t, keys, count(t, db, "SELECT count(*) FROM effects"))
	assert.Equal(t, keys, count(t, db, "SELECT count(DISTINCT id) FROM effects"))
}

// TestOutcome tests that what the function writes is committed if and only if
// the event is, whatever the function does to its transaction.
func TestOutcome(t *testing.T) {
	exec := func(tx *sql.Tx, query string) error {
		_, err := tx.ExecContext(t.Context(), query)
		return err
	}
	for _, tt := range []struct {
		name            string
		end             func(tx *sql.Tx) error
		status, effects int
		again           geminihook.Result
	}{
		{"nil", func(*sql.Tx) error { return nil }, 200, 1, geminihook.Duplicate},
		{"error", func(*sql.Tx) error { return assert.AnError }, 500, 0, geminihook.Processed},
		{"permanent", func(*sql.Tx) error { return geminihook.Permanent(assert.AnError) }, 200, 0, geminihook.Duplicate},
		{"panic", func(*sql.Tx) error { panic("its own") }, 0, 0, geminihook.Processed},
		{"goexit", func(*sql.Tx) error { runtime.Goexit(); return nil }, 0, 0, geminihook.Processed},

		{"commit and nil", func(tx *sql.Tx) error { _ = tx.Commit(); return nil }, 200, 1, geminihook.Duplicate},
		{"commit's error", func(tx *sql.Tx) error { return tx.Commit() }, 500, 0, geminihook.Processed},
		{"commit and permanent", func(tx *sql.Tx) error {
			_ = tx.Commit()
			return geminihook.Permanent(assert.AnError)
		}, 200, 0, geminihook.Duplicate},
		{"commit and panic", func(tx *sql.Tx) error { _ = tx.Commit(); panic("its own") }, 0, 0, geminihook.Processed},
		{"deferred rollback and nil", func(tx *sql.Tx) error {
			defer func() { _ = tx.Rollback() }()
			return nil
		}, 200, 1, geminihook.Duplicate},
		{"deferred rollback, commit and nil", func(tx *sql.Tx) error {
			defer func() { _ = tx.Rollback() }()
			_ = tx.Commit()
			return nil
		}, 200, 1, geminihook.Duplicate},
		{"deferred rollback and error", func(tx *sql.Tx) error {
			defer func() { _ = tx.Rollback() }()
			return assert.AnError
		}, 500, 0, geminihook.Processed},
		{"rollback's error", func(tx *sql.Tx) error { return tx.Rollback() }, 500, 0, geminihook.Processed},

		{"rows left open", func(tx *sql.Tx) error {
			_, err := tx.QueryContext(t.Context(), "SELECT * FROM effects") //nolint:sqlclosecheck // that is the test
			return err
		}, 200, 1, geminihook.Duplicate},
		{"rows left open and error", func(tx *sql.Tx) error {
			_, _ = tx.QueryContext(t.Context(), "SELECT * FROM effects")
			return assert.AnError
		}, 500, 0, geminihook.Processed},
		{"statement left open", func(tx *sql.Tx) error {
			_, err := tx.PrepareContext(t.Context(), "SELECT * FROM effects")
			return err
		}, 200, 1, geminihook.Duplicate},
		{"failed statement ignored", func(tx *sql.Tx) error { _ = exec(tx, "nonsense"); return nil }, 200, 1, geminihook.Duplicate},

		// Nothing can undo these, but the event is not lost.
		{"COMMIT and error", func(tx *sql.Tx) error { _ = exec(tx, "COMMIT"); return assert.AnError }, 500, 1, geminihook.Processed},
		{"COMMIT and nil", func(tx *sql.Tx) error { return exec(tx, "COMMIT") }, 500, 1, geminihook.Processed},
		{"COMMIT, BEGIN and nil", func(tx *sql.Tx) error { return exec(tx, "COMMIT; BEGIN") }, 500, 1, geminihook.Processed},
		{"ROLLBACK, BEGIN and nil", func(tx *sql.Tx) error { return exec(tx, "ROLLBACK; BEGIN") }, 500, 0, geminihook.Processed},
		{"ROLLBACK and nil", func(tx *sql.Tx) error { return exec(tx, "ROLLBACK") }, 500, 0, geminihook.Processed},
		{"ROLLBACK and permanent", func(tx *sql.Tx) error {
			_ = exec(tx, "ROLLBACK")
			return geminihook.Permanent(assert.AnError)
		}, 503, 0, geminihook.Processed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, db := newStore(t)
			_, err := db.ExecContext(t.Context(), "CREATE TABLE effects (id TEXT); INSERT INTO effects VALUES ('first'), ('second')")
			require.NoError(t, err)
			last := geminihook.Outcome{}
			first := true
			deliver := receiver(t, &geminihook.Endpoint{Transactor: store}, &last, func(ctx context.Context, ev *geminihook.Event) error {
				require.NoError(t, insert(ctx, ev.ID))
				if tx, _ := sqlstore.Tx(ctx); first {
					first = false
					return tt.end(tx)
				}
				return nil
			})
			assert.Equal(t, tt.status, deliver(), "%v", last.Err)
			assert.Equal(t, tt.effects, count(t, db, "SELECT count(*) FROM effects")-2)
			assert.Equal(t, 200, deliver())
			assert.Equal(t, tt.again, last.Result)
		})
	}
}

// receiver returns a function that delivers the same event whenever it is
// called, and returns the status of the response, or zero if there was none.
func receiver(
	t *testing.T, endpoint *geminihook.Endpoint, last *geminihook.Outcome, fn func(context.Context, *geminihook.Event) error,
) func() int {
	t.Helper()
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	endpoint.Verifier = verifier
	endpoint.Observe = func(_ context.Context, o geminihook.Outcome) { *last = o }
	handler := endpoint.Handler(fn)
	d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.TestSecret))
	return func() int {
		status := make(chan int, 1)
		go func() {
			defer close(status)
			defer func() { _ = recover() }()
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, d.Request("/"))
			status <- w.Code
		}()
		return <-status
	}
}

// TestNoTransaction tests what a function finds that has no transaction.
func TestNoTransaction(t *testing.T) {
	store, _ := newStore(t)
	last := geminihook.Outcome{}
	deliver := receiver(t, &geminihook.Endpoint{Store: store}, &last, func(ctx context.Context, ev *geminihook.Event) error {
		return insert(ctx, ev.ID)
	})
	assert.Equal(t, 500, deliver())
	require.ErrorContains(t, last.Err, "set Endpoint.Transactor")
}

// TestOneConnection tests a pool that a program has limited to one connection,
// as is often advised for SQLite.
func TestOneConnection(t *testing.T) {
	store, db := newStore(t)
	db.SetMaxOpenConns(1)
	s := store
	for _, want := range []geminihook.State{geminihook.Acquired, geminihook.Done} {
		state, err := s.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
			inside, err := s.Transact(ctx, "msg_1", time.Hour, func(context.Context) error { return nil })
			assert.Equal(t, geminihook.InProgress, inside)
			return err
		})
		require.NoError(t, err)
		assert.Equal(t, want, state)
	}
}

// TestAfterReturn tests that the transaction is of no use to a goroutine that
// outlives the function.
func TestAfterReturn(t *testing.T) {
	store, _ := newStore(t)
	var kept *sql.Tx
	_, err := store.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
		kept, _ = sqlstore.Tx(ctx)
		return nil
	})
	require.NoError(t, err)
	_, err = kept.ExecContext(t.Context(), "DELETE FROM geminihook_deliveries")
	require.ErrorIs(t, err, sql.ErrTxDone)
}

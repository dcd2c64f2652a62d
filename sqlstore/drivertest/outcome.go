package drivertest

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// outcome is what becomes of a delivery whose function inserts a row and then does
// something.
type outcome struct {
	name            string
	do              func(tx *sql.Tx) error
	status, effects int
	again           geminihook.Result // of the same event, delivered once more
}

func outcomes(b Backend) []outcome {
	const processed, duplicate = geminihook.Processed, geminihook.Duplicate
	permanent := geminihook.Permanent(assert.AnError)
	all := []outcome{
		{"nil", func(*sql.Tx) error { return nil }, 200, 1, duplicate},
		{"error", func(*sql.Tx) error { return assert.AnError }, 500, 0, processed},
		{"permanent", func(*sql.Tx) error { return permanent }, 200, 0, duplicate},
		{"panic", func(*sql.Tx) error { panic("its own") }, 0, 0, processed},
		{"goexit", func(*sql.Tx) error { runtime.Goexit(); return nil }, 0, 0, processed},

		{"Commit and nil", func(tx *sql.Tx) error {
			_ = tx.Commit()
			return nil
		}, 200, 1, duplicate},
		{"Commit's error", (*sql.Tx).Commit, 500, 0, processed},
		{"Commit and permanent", func(tx *sql.Tx) error {
			_ = tx.Commit()
			return permanent
		}, 200, 0, duplicate},
		{"Commit and panic", func(tx *sql.Tx) error {
			_ = tx.Commit()
			panic("its own")
		}, 0, 0, processed},
		{"Rollback and nil", func(tx *sql.Tx) error {
			_ = tx.Rollback()
			return nil
		}, 200, 1, duplicate},
		{"Rollback's error", (*sql.Tx).Rollback, 500, 0, processed},

		{"rows left open", leaveRowsOpen, 200, 1, duplicate},
		{"rows left open and error", func(tx *sql.Tx) error {
			_ = leaveRowsOpen(tx)
			return assert.AnError
		}, 500, 0, processed},
		{"statement left open", func(tx *sql.Tx) error {
			_, err := tx.Prepare("SELECT * FROM effects")
			return err
		}, 200, 1, duplicate},
	}
	ignored := outcome{"failed statement ignored", ignoreError, 200, 1, duplicate}
	if b.Aborts {
		ignored.status, ignored.effects, ignored.again = 500, 0, processed
	}
	return append(all, ignored)
}

func ignoreError(tx *sql.Tx) error {
	_, _ = tx.Exec("nonsense")
	return nil
}

func leaveRowsOpen(tx *sql.Tx) error {
	_, err := tx.Query("SELECT * FROM effects") //nolint:sqlclosecheck // that is the test
	return err
}

// testOutcomes tests that what the function writes is committed if and only if the
// event is, whatever the function does to its transaction.
func (b Backend) testOutcomes(t *testing.T) {
	for _, tt := range outcomes(b) {
		t.Run(tt.name, func(t *testing.T) {
			h := b.handles()
			store := h.first(t)
			h.exec(t, "CREATE TABLE effects (id VARCHAR(100))")
			h.exec(t, "INSERT INTO effects VALUES ('first'), ('second')")
			last := geminihook.Outcome{}
			first := true
			fn := func(ctx context.Context, ev *geminihook.Event) error {
				require.NoError(t, execInTx(ctx, b.insertEffect(), ev.ID))
				if first {
					first = false
					tx, _ := sqlstore.Tx(ctx)
					return tt.do(tx)
				}
				return nil
			}
			deliver := receiver(t, store, &last, fn)
			assert.Equal(t, tt.status, deliver(), "%v", last.Err)
			assert.Equal(t, tt.effects, h.count(t, "SELECT count(*) FROM effects")-2)
			assert.Equal(t, 200, deliver(), "%v", last.Err)
			assert.Equal(t, tt.again, last.Result)
			assert.Zero(t, h.db.Stats().InUse, "the connections are back in the pool")
		})
	}
}

// testEndings tests what the log says of a function that has ended its transaction.
func (b Backend) testEndings(t *testing.T) {
	for name, queries := range b.Endings {
		t.Run(name, func(t *testing.T) {
			last := geminihook.Outcome{}
			fn := func(ctx context.Context, _ *geminihook.Event) error {
				return execAllInTx(ctx, queries)
			}
			deliver := receiver(t, b.handles().first(t), &last, fn)
			assert.Equal(t, 500, deliver())
			require.ErrorContains(t, last.Err, "ended the transaction with a statement")
		})
	}
}

// receiver returns a function that delivers the same event whenever it is called,
// and returns the status of the response, or zero if there was none.
func receiver(
	t *testing.T, store *sqlstore.Store, last *geminihook.Outcome,
	fn func(context.Context, *geminihook.Event) error,
) func() int {
	t.Helper()
	secret := webhooktest.RandomSecret()
	verifier, err := geminihook.NewHMAC(secret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Transactor: store, Logger: slog.New(slog.DiscardHandler),
		Observe: func(_ context.Context, o geminihook.Outcome) { *last = o },
	}
	handler := endpoint.Handler(fn)
	d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret))
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

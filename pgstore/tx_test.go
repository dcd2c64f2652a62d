package pgstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTxMissing(t *testing.T) {
	store, _ := open(t)
	_, err := pgstore.Tx(t.Context())
	require.ErrorContains(t, err, "must be the endpoint's Transactor")
	o := process(t, &geminihook.Endpoint{Store: store}, "msg_1", func(ctx context.Context) error {
		_, err := pgstore.Tx(ctx)
		return err
	})
	assert.Equal(t, geminihook.Failed, o.Result)
	require.ErrorContains(t, o.Err, "must be the endpoint's Transactor")
}

// TestTxEnds: a transaction, or a savepoint, that outlives its function does
// nothing to the connection's next user.
func TestTxEnds(t *testing.T) {
	store, pool := open(t, maxConns(2))
	run(t, pool, "CREATE TABLE effects (id text)")
	for name, end := range map[string]func(ctx context.Context) error{
		"nil":    succeed,
		"error":  func(context.Context) error { return assert.AnError },
		"COMMIT": func(ctx context.Context) error { return execute(ctx, []string{"COMMIT"}) },
	} {
		t.Run(name, func(t *testing.T) {
			var late []pgx.Tx
			_, _ = store.Transact(t.Context(), name, time.Hour, func(ctx context.Context) error {
				tx := begun(t, ctx)
				savepoint, err := tx.Begin(ctx)
				require.NoError(t, err)
				late = []pgx.Tx{tx, savepoint}
				return end(ctx)
			})
			const insert = "INSERT INTO effects VALUES ('late')"
			ctx := t.Context()
			for _, tx := range late {
				_, err := tx.Exec(ctx, insert)
				require.ErrorIs(t, err, pgx.ErrTxClosed)
				rows, err := tx.Query(ctx, insert)
				require.ErrorIs(t, err, pgx.ErrTxClosed)
				require.ErrorIs(t, rows.Err(), pgx.ErrTxClosed)
				require.ErrorIs(t, tx.QueryRow(ctx, insert).Scan(), pgx.ErrTxClosed)
				_, err = tx.Prepare(ctx, "late", insert)
				require.ErrorIs(t, err, pgx.ErrTxClosed)
				_, err = tx.Begin(ctx)
				require.ErrorIs(t, err, pgx.ErrTxClosed)
				rowsToCopy := pgx.CopyFromRows([][]any{{"late"}})
				_, err = tx.CopyFrom(ctx, pgx.Identifier{"effects"}, []string{"id"}, rowsToCopy)
				require.ErrorIs(t, err, pgx.ErrTxClosed)
				objects := tx.LargeObjects()
				_, err = objects.Create(ctx, 0)
				require.ErrorIs(t, err, pgx.ErrTxClosed)
				var b pgx.Batch
				b.Queue(insert)
				require.ErrorIs(t, tx.SendBatch(ctx, &b).Close(), pgx.ErrTxClosed)
				require.Error(t, tx.Commit(ctx))
				require.Error(t, tx.Rollback(ctx))
			}
			assert.Zero(t, get[int](t, pool, "SELECT count(*) FROM effects"))
		})
	}
}

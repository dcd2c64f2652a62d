package pgstore

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type txKey struct{}

var (
	errNoTx = errors.New("pgstore: the context has no transaction: the Store must be the endpoint's Transactor, not its Store, " +
		"and the context must be the one that the function was called with")
	errOwned = errors.New("pgstore: the store ends this transaction: return nil to commit it, or an error to roll it back")
)

// Tx returns the transaction that the function runs in. It returns an error that
// says what is missing if ctx has none.
//
// The store ends the transaction: it commits if the function returns nil, and rolls
// back after an error. The transaction's own Commit and Rollback always return an
// error and change nothing in the database, so a deferred Rollback is harmless.
// Transactions that its Begin returns are savepoints, and can be ended. Do not use
// the transaction after the function has returned.
func Tx(ctx context.Context) (pgx.Tx, error) {
	tx, ok := ctx.Value(txKey{}).(pgx.Tx)
	if !ok {
		return nil, errNoTx
	}
	return tx, nil
}

// owned is a transaction that its user cannot end.
type owned struct{ guarded }

func (owned) Commit(context.Context) error   { return errOwned }
func (owned) Rollback(context.Context) error { return errOwned }

// guarded is a transaction, or a savepoint in it, that does nothing after the store
// has ended it: its connection may then belong to someone else.
type guarded struct {
	pgx.Tx
	ended *atomic.Bool
}

// closed is a transaction whose methods return [pgx.ErrTxClosed].
var closed = func() pgx.Tx {
	var b pgx.Batch
	b.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(&b, pgx.ErrTxClosed).Tx()
}()

func (g guarded) current() pgx.Tx {
	if g.ended.Load() {
		return closed
	}
	return g.Tx
}

func (g guarded) Begin(ctx context.Context) (pgx.Tx, error) {
	savepoint, err := g.current().Begin(ctx)
	if err != nil {
		return nil, err
	}
	return guarded{Tx: savepoint, ended: g.ended}, nil
}

func (g guarded) Commit(ctx context.Context) error   { return g.current().Commit(ctx) }
func (g guarded) Rollback(ctx context.Context) error { return g.current().Rollback(ctx) }
func (g guarded) LargeObjects() pgx.LargeObjects     { return g.current().LargeObjects() }

func (g guarded) CopyFrom(
	ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource,
) (int64, error) {
	return g.current().CopyFrom(ctx, table, columns, rows)
}

func (g guarded) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return g.current().SendBatch(ctx, b)
}

func (g guarded) Prepare(
	ctx context.Context, name, sql string,
) (*pgconn.StatementDescription, error) {
	return g.current().Prepare(ctx, name, sql)
}

func (g guarded) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return g.current().Exec(ctx, sql, args...)
}

func (g guarded) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return g.current().Query(ctx, sql, args...)
}

func (g guarded) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return g.current().QueryRow(ctx, sql, args...)
}

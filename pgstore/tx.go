package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

type txKey struct{}

// RequireTx returns the transaction that the function runs in. It returns an
// error if there is none: if the endpoint's Store is not what
// [Store.Transactional] returned, if that is wrapped in a Store without a
// Transact method, or if ctx is not the context that the function was called
// with.
//
// The store ends the transaction: if the function returns nil, it is committed,
// and after an error, it is rolled back. The transaction's own Commit and
// Rollback return an error and have no other effect. Do not use the transaction
// after the function has returned.
func RequireTx(ctx context.Context) (pgx.Tx, error) {
	if tx, ok := Tx(ctx); ok {
		return tx, nil
	}
	return nil, errNoTx
}

// Tx is like [RequireTx], but returns false instead of an error. Use it in a
// function that also works without a transaction.
func Tx(ctx context.Context) (pgx.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(pgx.Tx)
	return tx, ok
}

var (
	errNoTx = errors.New("pgstore: the context has no transaction: Endpoint.Store must be what Transactional returns, " +
		"a Store around it must have its Transact method, and the context must be the one that the function was called with")
	errOwned = errors.New("pgstore: the store ends this transaction: return nil to commit it, or an error to roll it back")
)

// owned is a transaction that its user cannot end.
type owned struct{ pgx.Tx }

func (owned) Commit(context.Context) error   { return errOwned }
func (owned) Rollback(context.Context) error { return errOwned }

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

type txKey struct{}

// Tx returns the transaction that the function runs in. It returns an error that
// says what is missing if there is none.
//
// What the function returns decides: nil commits, an error rolls back. The
// transaction's own Commit and Rollback return an error that wraps
// [sql.ErrTxDone], end its use, and change nothing in the database. So a deferred
// Rollback is harmless.
//
// Statements that were prepared on the database cannot be used in the
// transaction: prepare them on the transaction. What the function changes on the
// connection, for example with SET or PRAGMA, remains when the connection goes
// back to the pool: use SET LOCAL, or set it back.
func Tx(ctx context.Context) (*sql.Tx, error) {
	tx, ok := ctx.Value(txKey{}).(*sql.Tx)
	if !ok {
		return nil, errors.New("sqlstore: the context has no transaction: set Endpoint.Transactor, not Store, " +
			"and pass on the context that the function was called with")
	}
	return tx, nil
}

// Transact implements [geminihook.Transactor]. It holds a connection of the pool
// while the function runs.
//
// Runs that were rolled back are not counted, and [geminihook.Event.Attempt] is
// zero: the count would be rolled back with them, and counting it in another
// transaction would double the commits of every event.
func (s *Store) Transact(
	ctx context.Context, key string, keep time.Duration, fn func(context.Context) error,
) (geminihook.State, error) {
	tx, state, err := s.engine.begin(ctx, key, keep)
	if err != nil {
		return 0, storeFailed(err)
	}
	if state != geminihook.Acquired {
		return state, nil
	}
	defer tx.close(ctx) // also after a panic or runtime.Goexit
	fnErr, err := call(ctx, tx.conn(), fn)
	if err != nil {
		return 0, storeFailed(err)
	}
	return geminihook.Acquired, end(ctx, tx, fnErr)
}

// end commits, or leaves it to close to roll back, depending on the function's error.
func end(ctx context.Context, tx transaction, fnErr error) error {
	permanent := errors.Is(fnErr, geminihook.ErrPermanent)
	if fnErr != nil && !permanent {
		return fnErr
	}
	if ctx.Err() != nil {
		late := fmt.Errorf("rolled back, because the context had ended when the function returned: %w",
			context.Cause(ctx))
		return errors.Join(storeFailed(late), fnErr)
	}
	err := tx.commit(ctx, permanent)
	if fnErr == nil && errors.As(err, new(*functionError)) {
		return failure(err)
	}
	if err != nil {
		return errors.Join(storeFailed(err), fnErr)
	}
	return fnErr
}

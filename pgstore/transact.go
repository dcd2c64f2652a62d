package pgstore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5"
)

// Transactional returns the store as a geminihook.Transactor: Endpoint then runs
// its function inside a transaction, which Tx finds, and what the function
// writes there commits together with the mark that it ran: exactly once. It
// holds a connection of the pool while the function runs. The table is the same,
// so that instances may change from one to the other while others run.
func (s *Store) Transactional() geminihook.Store { return &transactional{s} }

type transactional struct{ *Store }

type txKey struct{}

// Tx returns the transaction that the function runs in. The store commits it or
// rolls it back by what the function returns: its own Commit and Rollback are
// errors, and change nothing.
func Tx(ctx context.Context) (pgx.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(pgx.Tx)
	return tx, ok
}

// owned is a transaction that its user cannot end.
type owned struct{ pgx.Tx }

var errOwned = errors.New("pgstore: the store ends this transaction: return nil to commit it, or an error to roll it back")

func (owned) Commit(context.Context) error   { return errOwned }
func (owned) Rollback(context.Context) error { return errOwned }

// $1 lock, $2 key, $3 keep in microseconds. Another transaction that holds the
// key holds the lock: without it nothing is inserted, and so nothing waits.
const (
	markSQL = `
WITH lock AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS held)
INSERT INTO geminihook_deliveries AS d (key, state, attempt, lease, expires)
SELECT $2, 2, 1, now, now + $3::bigint * interval '1 microsecond'
FROM lock, (SELECT clock_timestamp() AS now) AS clock WHERE lock.held
ON CONFLICT (key) DO UPDATE SET state = 2, token = NULL, attempt = d.attempt + 1, expires = excluded.expires
WHERE ` + free + `
RETURNING 2`

	permanentSQL = "ROLLBACK TO SAVEPOINT geminihook"
)

// Transact implements geminihook.Transactor.
func (t *transactional) Transact(ctx context.Context, key string, keep time.Duration, fn func(context.Context) error) (
	geminihook.State, error,
) {
	tx, err := t.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return 0, storeFailed(err)
	}
	// After a commit it does nothing; after a panic it rolls back.
	defer func() { _ = tx.Rollback(ctx) }()
	state, err := mark(ctx, tx, key, keep)
	if err != nil {
		return 0, storeFailed(err)
	}
	if state != geminihook.Acquired {
		return state, nil
	}
	own := fn(context.WithValue(ctx, txKey{}, pgx.Tx(owned{tx})))
	if own != nil && !errors.Is(own, geminihook.ErrPermanent) {
		return state, own
	}
	if own != nil {
		if _, err := tx.Exec(ctx, permanentSQL); err != nil {
			return state, errors.Join(storeFailed(err), own)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return state, errors.Join(storeFailed(err), own)
	}
	return state, own
}

// mark marks the key as done, and says how it stands if it could not.
func mark(ctx context.Context, tx pgx.Tx, key string, keep time.Duration) (geminihook.State, error) {
	marked, found := false, false
	var two, state int
	var left int64
	var b pgx.Batch
	b.Queue(markSQL, lockOf(key), []byte(key), max(1, keep.Microseconds())).QueryRow(optional(&marked, &two))
	b.Queue(stateSQL, []byte(key)).QueryRow(optional(&found, &state, &left))
	b.Queue("SAVEPOINT geminihook")
	switch err := tx.SendBatch(ctx, &b).Close(); {
	case err != nil:
		return 0, err
	case marked:
		return geminihook.Acquired, nil
	case found && state == done:
		return geminihook.Done, nil
	}
	return geminihook.InProgress, nil
}

// lockOf names the key's advisory lock. Two keys with the same lock wait for
// each other's redelivery, no more.
func lockOf(key string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("geminihook\x00" + key))
	return int64(h.Sum64())
}

func storeFailed(err error) error {
	return fmt.Errorf("%w: %w", geminihook.ErrStore, failure(err))
}

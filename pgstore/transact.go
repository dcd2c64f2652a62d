package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Transactional returns the store as a [geminihook.Transactor]: an Endpoint then
// runs its function inside a transaction, which [RequireTx] returns, and what the
// function writes there commits together with the mark that it ran: exactly
// once. It holds a connection of the pool while the function runs; see
// [Store.MaxTransactions]. It uses the same table as the plain store, so
// instances can change from one to the other while others run.
//
// A run that is rolled back is not counted as an attempt, because its count is
// rolled back with it. To count it in a separate transaction would cost each
// event another commit.
//
// While the function runs, idle_in_transaction_session_timeout is set to the
// time that remains until the deadline of Transact's context, or to an hour if
// it has none.
func (s *Store) Transactional() geminihook.Store { return &transactional{s} }

type transactional struct{ *Store }

// The function's own failures, which its error does not show.
var (
	errAborted = errors.New("pgstore: the function left the transaction aborted by an SQL error that it did not return: " +
		"everything is rolled back")
	errEnded = errors.New("pgstore: the function ended the store's transaction with a COMMIT or ROLLBACK in SQL: " +
		"the event is not marked as done, and what the function committed remains")
	errBusy = errors.New("pgstore: the function left the rows of a query open: everything is rolled back")
)

// Transact implements [geminihook.Transactor]. It takes two round trips besides
// the function's own, and two if the key is not free. Its work before the function
// and that after it are each bounded by [Store.Timeout].
func (t *transactional) Transact(ctx context.Context, key string, keep time.Duration, fn func(context.Context) error) (
	geminihook.State, error,
) {
	state, err := t.transact(ctx, key, keep, fn)
	if state == geminihook.Acquired && err == nil {
		t.purgeSome()
	}
	return state, err
}

func (t *transactional) transact(ctx context.Context, key string, keep time.Duration, fn func(context.Context) error) (
	geminihook.State, error,
) {
	begin, cancel := context.WithTimeoutCause(ctx, t.timeout(), fmt.Errorf("the store could not begin within %v", t.timeout()))
	defer cancel()
	release, err := t.slot(begin)
	if err != nil {
		return 0, t.storeFailed(begin, err)
	}
	defer release()
	conn, err := t.acquire(begin)
	if err != nil {
		return 0, t.storeFailed(begin, err)
	}
	defer conn.Release()
	r := transaction{store: t.Store, conn: conn, key: key}
	// After a commit it does nothing. After an error, a panic or
	// runtime.Goexit it rolls back.
	defer func() { r.rollback(ctx) }()
	state, err := r.begin(begin, remaining(ctx), keep)
	if err != nil {
		return 0, t.storeFailed(begin, err)
	}
	if state != geminihook.Acquired {
		return state, nil
	}
	return state, r.end(ctx, fn(context.WithValue(ctx, txKey{}, pgx.Tx(owned{r.tx}))))
}

func (s *Store) timeout() time.Duration { return cmp.Or(s.Timeout, DefaultTimeout) }

// slot waits until another transaction may run.
func (s *Store) slot(ctx context.Context) (release func(), err error) {
	s.statements()
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waited for one of the %d transactions that may run at a time, with %d connections in the pool: "+
			"raise its MaxConns, or Store.MaxTransactions: %w", cap(s.slots), s.pool.Stat().MaxConns(), ctx.Err())
	}
}

// remaining is how long the function may take.
func remaining(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return time.Hour
}

// transaction is one call of Transact that has a connection.
type transaction struct {
	store *Store
	conn  *pgxpool.Conn
	key   string
	tx    pgx.Tx // nil until it has begun
}

// begin begins the transaction and marks the key as done, or returns the key's
// state if it is not free.
func (r *transaction) begin(ctx context.Context, idle, keep time.Duration) (geminihook.State, error) {
	for range tries {
		state, err := r.mark(ctx, idle, keep)
		if err != nil || state != 0 {
			return state, err
		}
		r.rollback(ctx)
	}
	return 0, errRestless
}

// mark takes one round trip. The state is zero if the key was not free at first
// and free afterwards.
func (r *transaction) mark(ctx context.Context, idle, keep time.Duration) (geminihook.State, error) {
	var held, marked, found bool
	var state int
	var left int64
	keepFor, step := expiry(keep)
	sql := r.store.statements()
	var b pgx.Batch
	b.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	b.Queue("SELECT set_config('idle_in_transaction_session_timeout', $1, true)", milliseconds(idle))
	b.Queue(sql.mark, lockOf(r.key), []byte(r.key), keepFor, step).
		QueryRow(func(row pgx.Row) error { return row.Scan(&held, &marked) })
	b.Queue(sql.state, []byte(r.key)).QueryRow(optional(&found, &state, &left))
	b.Queue("SAVEPOINT geminihook")
	results := r.conn.SendBatch(ctx, &b)
	r.tx = results.Tx()
	err := results.Close()
	r.closeReadOnly(ctx, err)
	switch {
	case err != nil:
		return 0, err
	case marked:
		return geminihook.Acquired, nil
	case found && state == done:
		return geminihook.Done, nil
	case found || !held:
		return geminihook.InProgress, nil
	}
	return 0, nil
}

// milliseconds is at least one second, because zero means no limit.
func milliseconds(d time.Duration) string {
	return strconv.FormatInt(min(max(d, time.Second).Milliseconds(), math.MaxInt32), 10)
}

// lockOf identifies the key's advisory lock. If the locks of two keys that are
// delivered at the same time are equal, the second is delivered again.
func lockOf(key string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return int64(h.Sum64())
}

// end commits or rolls back, by the error of the function.
func (r *transaction) end(ctx context.Context, own error) error {
	ctx, cancel := context.WithTimeout(ctx, r.store.timeout())
	defer cancel()
	permanent := errors.Is(own, geminihook.ErrPermanent)
	pg := r.conn.Conn().PgConn()
	switch {
	case pg.IsClosed():
		if own == nil || permanent {
			return errors.Join(r.store.storeFailed(ctx, errors.New("the connection broke while the function ran")), own)
		}
		return own
	case pg.IsBusy():
		return errors.Join(errBusy, own)
	case pg.TxStatus() == 'I':
		return errors.Join(errEnded, own, r.unmark(ctx))
	case own != nil && !permanent:
		r.closeReadOnly(ctx, own)
		return own
	case ctx.Err() != nil: // a commit would only break the connection, and leave the locks to the server
		return errors.Join(r.store.storeFailed(ctx, errors.New("too late to commit")), own)
	case permanent:
		if _, err := r.tx.Exec(ctx, "ROLLBACK TO SAVEPOINT geminihook"); err != nil {
			return errors.Join(r.store.storeFailed(ctx, err), own)
		}
	case pg.TxStatus() == 'E':
		return errAborted
	}
	return errors.Join(r.commit(ctx), own)
}

// commit also runs the constraints and triggers that are deferred: what they
// refuse is what the function wrote.
func (r *transaction) commit(ctx context.Context) error {
	err := r.tx.Commit(ctx)
	switch class := code(err); {
	case err == nil:
		return nil
	case strings.HasPrefix(class, "23"), strings.HasPrefix(class, "P0"):
		return fmt.Errorf("pgstore: the commit was refused because of what the function wrote: %w", err)
	}
	return r.store.storeFailed(ctx, fmt.Errorf("the commit failed, or its result is unknown: %w", err))
}

// unmark removes the mark that a COMMIT of the function's own has committed:
// if the function failed after it, the event would be lost.
func (r *transaction) unmark(ctx context.Context) error {
	_, err := r.conn.Exec(ctx, r.store.statements().unmark, []byte(r.key))
	if err != nil {
		return r.store.failure(ctx, fmt.Errorf("the mark was not removed: %w", err))
	}
	return nil
}

// closeReadOnly closes the connection if its server has become read-only. The
// server does not close it by itself after a failover that keeps it running, and
// the pool would keep using it.
func (r *transaction) closeReadOnly(ctx context.Context, err error) {
	if code(err) == readOnly {
		_ = r.conn.Conn().Close(ctx)
	}
}

// rollback ends the transaction if it has not ended. The context of the call may
// have ended, and the locks should not wait for the server to notice a closed
// connection. If it fails, the connection is closed.
func (r *transaction) rollback(ctx context.Context) {
	if r.tx == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.store.timeout())
	defer cancel()
	_ = r.tx.Rollback(ctx)
}

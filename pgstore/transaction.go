package pgstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// gracePeriod is how long after the end of its context a function may still use
	// the transaction. A function that takes longer hangs.
	gracePeriod = time.Second
	// rollbackTimeout bounds a rollback, because the context may have ended.
	rollbackTimeout = 3 * time.Second
)

// The function's own failures, which its error does not show.
var (
	errAborted = errors.New("pgstore: the function left the transaction aborted by an SQL error that it did not return: " +
		"everything is rolled back")
	errEnded = errors.New("pgstore: the function ended the store's transaction by SQL, such as COMMIT or ROLLBACK: " +
		"the event is not marked as done, and what the function committed remains")
	errBusy = errors.New("pgstore: the function left the rows of a query open: everything is rolled back")
)

// The failures of the store.
var (
	errReadOnly = errors.New("the server refuses writes: " + hintReadOnly)
	errBroken   = errors.New("the connection broke while the function ran")
	errHangs    = errors.New("the function did not return when its context ended: its connection was closed")
	errTaken    = errors.New("a claim whose lease had ended was renewed or completed while the function ran: " +
		"everything is rolled back")
)

// savepoint is the name of the savepoint that tells whether a transaction is still
// the one that the store has begun. It is random, so that no savepoint of a function
// passes for it.
var savepoint = "geminihook_" + strings.ToLower(rand.Text())

// transaction is one call of Transact that has a connection. An advisory lock is
// taken first and the mark is written last, so that nothing that the function
// executes can commit a mark. In between, a savepoint is what tells whether it is
// still the same transaction.
type transaction struct {
	sql  *statements
	conn *pgxpool.Conn
	key  []byte
	lock int64
	mark string // the statement that writes the mark; it depends on whether the key has a row

	tx        pgx.Tx // nil until it has begun
	ended     atomic.Bool
	abandoned *pgx.Conn // the connection, if the function hangs
	marked    bool      // the mark is written, but perhaps not committed
}

// begin begins the transaction and takes the key, or returns its state if it is not
// free. The state is read after the lock was taken: in one statement, it would be
// older than the lock, and a mark committed in between would be missed.
func (t *transaction) begin(ctx context.Context) (geminihook.State, error) {
	var locked, readOnly bool
	state := released
	t.mark = t.sql.mark
	var b pgx.Batch
	b.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	b.Queue(t.sql.lock, idleTimeout(ctx), t.lock).QueryRow(func(row pgx.Row) error {
		return row.Scan(&locked, &readOnly)
	})
	b.Queue(t.sql.look, t.key).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&state)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		t.mark = t.sql.remark
		return err
	})
	b.Queue("SAVEPOINT " + savepoint)
	results := t.conn.SendBatch(ctx, &b)
	t.tx = results.Tx()
	err := results.Close()
	if err == nil && readOnly {
		err = errReadOnly
	}
	switch {
	case err != nil:
		// The pool may have a connection to a better server, or one whose session
		// no function has changed.
		_ = t.conn.Conn().Close(ctx)
		return 0, err
	case state == done:
		return geminihook.Done, nil
	case state == claimed || !locked:
		return geminihook.InProgress, nil
	}
	return geminihook.Acquired, nil
}

// idleTimeout returns how long the function may leave the transaction idle, in
// milliseconds. It is at least one second, because zero means no limit.
func idleTimeout(ctx context.Context) string {
	remaining := time.Hour
	if deadline, ok := ctx.Deadline(); ok {
		remaining = max(time.Until(deadline), time.Second)
	}
	return strconv.FormatInt(min(remaining.Milliseconds(), math.MaxInt32), 10)
}

// call calls the function. If it hangs, so that it would hold the connection and
// the slot for good, call gives both up.
func (t *transaction) call(
	ctx context.Context, fn func(context.Context) error, freeSlot func(),
) error {
	returned, watched := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(watched)
		select {
		case <-returned:
		case <-time.After(gracePeriod):
			t.abandon()
			freeSlot()
		}
	})
	defer func() { // also after a panic or runtime.Goexit
		close(returned)
		if !stop() {
			<-watched
		}
	}()
	tx := owned{guarded{Tx: t.tx, ended: &t.ended}}
	return fn(context.WithValue(ctx, txKey{}, pgx.Tx(tx)))
}

// abandon takes the connection out of the pool and cuts it, whatever the function
// does with it at this moment. The server then rolls back.
func (t *transaction) abandon() {
	t.ended.Store(true)
	t.abandoned = t.conn.Hijack()
	_ = t.abandoned.PgConn().Conn().Close()
}

// end commits or rolls back, depending on the error that the function returned.
func (t *transaction) end(ctx context.Context, fnErr error, keep time.Duration) error {
	t.ended.Store(true)
	if t.abandoned != nil {
		return both(storeFailed(ctx, errHangs), fnErr)
	}
	permanent := errors.Is(fnErr, geminihook.ErrPermanent)
	failed := fnErr != nil && !permanent
	pg := t.conn.Conn().PgConn()
	switch {
	case pg.IsClosed() && !failed:
		return both(storeFailed(ctx, errBroken), fnErr)
	case pg.IsClosed():
		return fnErr
	case pg.IsBusy():
		return both(errBusy, fnErr)
	case failed:
		return fnErr
	case pg.TxStatus() == 'E' && !permanent:
		return errAborted
	}
	if permanent {
		if _, err := t.tx.Exec(ctx, "ROLLBACK TO SAVEPOINT "+savepoint); err != nil {
			return both(t.commitFailed(ctx, err), fnErr)
		}
	}
	if err := t.commit(ctx, keep); err != nil {
		return both(err, fnErr)
	}
	return fnErr
}

// both returns an error of the transaction together with that of the function. A
// Permanent error would mean that the mark is committed, so only its text remains.
func both(err, fnErr error) error {
	switch {
	case fnErr == nil:
		return err
	case errors.Is(fnErr, geminihook.ErrPermanent):
		return fmt.Errorf("%w (the function returned: %v)", err, fnErr)
	}
	return fmt.Errorf("%w (the function returned: %w)", err, fnErr)
}

// commit writes the mark and commits, in one round trip. If the savepoint is gone,
// the function has ended the transaction, and the statements that follow do not run.
// The commit also runs the constraints and triggers that are deferred: what they
// refuse is what the function wrote.
func (t *transaction) commit(ctx context.Context, keep time.Duration) error {
	var b pgx.Batch
	b.Queue("RELEASE SAVEPOINT " + savepoint)
	b.Queue(t.mark, t.key, seconds(keep)).Exec(func(pgconn.CommandTag) error {
		t.marked = true
		return nil
	})
	b.Queue("COMMIT")
	if err := t.conn.SendBatch(ctx, &b).Close(); err != nil {
		return t.commitFailed(ctx, err)
	}
	t.tx = nil
	return nil
}

// commitFailed returns the error that says what a failure at the end means. In all of
// these cases except the last, everything is rolled back that the function has not
// committed itself.
func (t *transaction) commitFailed(ctx context.Context, err error) error {
	class := code(err)
	refusesData := strings.HasPrefix(class, "23") || strings.HasPrefix(class, "P0")
	switch {
	case class == noSavepoint || class == noTransaction:
		return errEnded
	case refusesData && !t.marked:
		return storeFailed(ctx, errTaken)
	case refusesData:
		return fmt.Errorf("pgstore: the commit was refused "+
			"because of what the function wrote: %w", err)
	}
	return storeFailed(ctx, fmt.Errorf("the commit failed, or its result is unknown: %w", err))
}

// rollback ends the transaction unless it has ended. It works although the context
// may have ended, because closing the connection instead would keep the locks until
// the server notices. If the rollback fails, pgx closes the connection.
func (t *transaction) rollback(ctx context.Context) {
	t.ended.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	switch {
	case t.abandoned != nil:
		_ = t.abandoned.Close(ctx)
	case t.tx != nil:
		_ = t.tx.Rollback(ctx)
	}
}

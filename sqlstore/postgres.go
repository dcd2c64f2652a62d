package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

// postgres is the engine of [PostgreSQL]. Table, statements and locks are those of
// package pgstore: change both.
//
// It does not prepare statements: pgx does so by itself, unless a program behind a
// pooler turns that off.
type postgres struct {
	db      *sql.DB
	sql     atomic.Pointer[postgresStatements] // nil until the schema of the table is known
	purging purging
}

func newPostgres(db *sql.DB) *postgres { return &postgres{db: db} }

func (e *postgres) claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return geminihook.Claim{}, err
	}
	keepFor := seconds(max(lease, keep))
	args := []any{[]byte(key), keepFor, []byte(token), seconds(lease), lockOf(key)}
	var attempt int
	taken, err := e.row(ctx, s.claim, args, &attempt)
	if err != nil {
		return geminihook.Claim{}, err
	}
	if taken {
		e.purgeSome(ctx)
		return geminihook.Claim{State: geminihook.Acquired, Attempt: attempt}, nil
	}
	var state int
	var left float64
	var unlocked bool
	_, err = e.row(ctx, s.state, []any{[]byte(key), lockOf(key)}, &state, &left, &unlocked)
	switch {
	case err != nil:
		return geminihook.Claim{}, err
	case state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	case state == claimed:
		retryIn := time.Duration(left * float64(time.Second))
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: max(1, retryIn)}, nil
	case !unlocked:
		return geminihook.Claim{State: geminihook.InProgress}, nil
	}
	return geminihook.Claim{}, nil
}

func (e *postgres) renew(
	ctx context.Context, key, token string, lease time.Duration,
) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	return e.row(ctx, s.renew, []any{[]byte(key), seconds(lease), []byte(token)}, new(int))
}

func (e *postgres) complete(
	ctx context.Context, key, token string, keep time.Duration,
) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	found, err := e.row(ctx, s.complete, []any{[]byte(key), seconds(keep), []byte(token)}, new(int))
	if err != nil || found {
		return found, err
	}
	return e.row(ctx, s.completed, []any{[]byte(key), []byte(token)}, new(int))
}

func (e *postgres) release(ctx context.Context, key, token string) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	return e.row(ctx, s.release, []any{[]byte(key), []byte(token)}, new(int))
}

// row runs one statement and scans the row that it returns, if any.
func (e *postgres) row(
	ctx context.Context, query string, args []any, into ...any,
) (found bool, err error) {
	err = e.db.QueryRowContext(ctx, query, args...).Scan(into...)
	if sqlState(err) == serializationFailure || sqlState(err) == deadlockDetected {
		err = e.rowReadCommitted(ctx, query, args, into)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// rowReadCommitted repeats a statement that met another one, if the database's
// default isolation level is stricter than READ COMMITTED. At that level, the
// statement waits for the other one and goes on with what that has committed. Stating
// the level each time would cost two more round trips.
func (e *postgres) rowReadCommitted(ctx context.Context, query string, args, into []any) error {
	tx, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := tx.QueryRowContext(ctx, query, args...).Scan(into...); err != nil {
		return err
	}
	return tx.Commit()
}

func (e *postgres) purge(ctx context.Context, limit int) (int, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return 0, err
	}
	result, err := e.db.ExecContext(ctx, s.purge, limit)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// purgeSome removes some expired rows, which takes about ten milliseconds.
func (e *postgres) purgeSome(ctx context.Context) {
	if !e.purging.due() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _ = e.purge(ctx, 1000)
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

// mysql is the engine of [MySQL].
//
// Statements are prepared, because the server spends more time on understanding them
// than on executing them. Those of a transaction take their parameters from variables
// of the session. Keys and tokens are in hexadecimal, so that no character set matters.
//
// A statement tells what it did through LAST_INSERT_ID(expression), because MySQL has no
// RETURNING, and because the data source name decides how the affected rows are counted.
type mysql struct {
	db       *sql.DB
	prepared *prepared
	sql      atomic.Pointer[mysqlStatements] // nil until the name of the database is known
	purging  purging
}

func newMySQL(db *sql.DB) *mysql { return &mysql{db: db, prepared: newPrepared(db)} }

func (e *mysql) claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return geminihook.Claim{}, err
	}
	if err := fits(key); err != nil {
		return geminihook.Claim{}, err
	}
	id, err := e.exec(ctx, s.claim, s.claimArgs(key, token, lease, keep)...)
	if mysqlNumber(err) == mysqlNotNull {
		return e.locked(ctx, s.state, key, token)
	}
	if err != nil {
		return geminihook.Claim{}, err
	}
	switch id % 4 { // mysqlAcquired says what the remainder and the quotient mean
	case mysqlAcquired:
		e.purgeSome(ctx)
		return geminihook.Claim{State: geminihook.Acquired, Attempt: int(id / 4)}, nil
	case mysqlDone:
		return geminihook.Claim{State: geminihook.Done}, nil
	}
	return inProgress(id / 4), nil
}

// locked returns the state of a key whose lock a transaction has, or had a moment
// ago.
func (e *mysql) locked(ctx context.Context, query, key, token string) (geminihook.Claim, error) {
	stmt, err := e.prepared.get(ctx, query)
	if err != nil {
		return geminihook.Claim{}, err
	}
	var state int
	var left int64
	err = stmt.QueryRowContext(ctx, inHex(key), inHex(token)).Scan(&state, &left)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return geminihook.Claim{State: geminihook.InProgress}, nil
	case err != nil:
		return geminihook.Claim{}, err
	case state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	}
	return inProgress(left), nil
}

func (e *mysql) renew(ctx context.Context, key, token string, lease time.Duration) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	leaseFor := micros(lease)
	id, err := e.exec(ctx, s.renew, leaseFor, leaseFor, inHex(key), inHex(token))
	return id > 0, err
}

func (e *mysql) complete(ctx context.Context, key, token string, keep time.Duration) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	id, err := e.exec(ctx, s.complete, s.completeArgs(key, token, keep)...)
	return id > 0, err
}

func (e *mysql) release(ctx context.Context, key, token string) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	id, err := e.exec(ctx, s.release, inHex(key), inHex(token))
	return id > 0, err
}

// exec executes a statement and returns what LAST_INSERT_ID was given.
func (e *mysql) exec(ctx context.Context, query string, args ...any) (id int64, err error) {
	stmt, err := e.prepared.get(ctx, query)
	if err != nil {
		return 0, err
	}
	return retryDeadlock(func() (int64, error) {
		result, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return 0, err
		}
		return result.LastInsertId()
	})
}

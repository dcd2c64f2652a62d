package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

// mysql is the engine of [MySQL].
//
// Values are written into the statements, keys and tokens in hexadecimal: as
// parameters they would cost another round trip, unless the data source name has
// interpolateParams. A statement tells what it did through
// LAST_INSERT_ID(expression), because MySQL has no RETURNING, and because the data
// source name decides how the affected rows are counted.
type mysql struct {
	db      *sql.DB
	sql     atomic.Pointer[mysqlStatements] // nil until the name of the database is known
	purging purging
}

func newMySQL(db *sql.DB) *mysql { return &mysql{db: db} }

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
	keepFor := micros(max(lease, keep))
	id, err := e.exec(ctx, fmt.Sprintf(s.claim, key, token, micros(lease), keepFor, s.lock(key)))
	if err != nil {
		return geminihook.Claim{}, err
	}
	switch id % 4 { // mysqlAcquired says what the remainder and the quotient mean
	case mysqlAcquired:
		e.purgeSome(ctx)
		return geminihook.Claim{State: geminihook.Acquired, Attempt: int(id / 4)}, nil
	case mysqlDone:
		return geminihook.Claim{State: geminihook.Done}, nil
	case mysqlInProgress:
		return inProgress(id / 4), nil
	}
	return e.locked(ctx, fmt.Sprintf(s.state, key, token))
}

// locked returns the state of a key whose lock a transaction has, or had a moment
// ago.
func (e *mysql) locked(ctx context.Context, query string) (geminihook.Claim, error) {
	var state int
	var left int64
	err := e.db.QueryRowContext(ctx, query).Scan(&state, &left)
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
	renew := fmt.Sprintf(s.renew, key, token, micros(lease))
	id, err := e.exec(ctx, renew)
	return id > 0, err
}

func (e *mysql) complete(ctx context.Context, key, token string, keep time.Duration) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	complete := fmt.Sprintf(s.complete, key, token, micros(keep))
	id, err := e.exec(ctx, complete)
	return id > 0, err
}

func (e *mysql) release(ctx context.Context, key, token string) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	id, err := e.exec(ctx, fmt.Sprintf(s.release, key, token))
	return id > 0, err
}

// exec executes a statement and returns what LAST_INSERT_ID was given.
func (e *mysql) exec(ctx context.Context, query string) (id int64, err error) {
	return retryDeadlock(func() (int64, error) {
		result, err := e.db.ExecContext(ctx, query)
		if err != nil {
			return 0, err
		}
		return result.LastInsertId()
	})
}

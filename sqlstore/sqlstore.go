// Package sqlstore is a [geminihook.Store] and a [geminihook.Transactor] on
// database/sql, for SQLite, PostgreSQL, MySQL and MariaDB, with a driver of your
// choice. As a Transactor, it commits what your function writes together with the
// mark that the event was handled: exactly once. The function gets a [sql.Tx] from
// [Tx], which GORM, ent, bun, sqlx and sqlc accept as their own:
//
//	// For the driver modernc.org/sqlite. Others have other names for these settings.
//	const settings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
//	db, err := sql.Open("sqlite", "file:app.db"+settings)
//	if err != nil {
//		return err
//	}
//	store := sqlstore.New(db, sqlstore.SQLite)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Transactor: store}
//	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		tx, err := sqlstore.Tx(ctx)
//		if err != nil {
//			return err
//		}
//		_, err = tx.ExecContext(ctx, "INSERT INTO results (id) VALUES (?)", ev.ID)
//		return err // nil commits the row together with the mark
//	})
//
// Rows that have expired are removed at a low rate as events are claimed;
// [Store.Purge] removes them faster.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// Store is a [geminihook.Store] and a [geminihook.Transactor] in a SQL database.
// Create it with [New]. Its table is geminihook_deliveries, for both.
type Store struct{ engine engine }

// New returns a Store that uses the database. The caller closes the database, and
// calls [Store.Migrate] before the first event arrives. New panics if the
// dialect is not one of the constants.
func New(db *sql.DB, d Dialect) *Store {
	switch d {
	case SQLite:
		return &Store{engine: newSQLite(db)}
	case PostgreSQL:
		return &Store{engine: newPostgres(db)}
	case MySQL:
		return &Store{engine: newMySQL(db)}
	}
	panic(fmt.Sprintf("sqlstore: New: %v is not a dialect", d))
}

// Claim implements [geminihook.Store].
func (s *Store) Claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	for range tries {
		c, err := s.engine.claim(ctx, key, token, lease, keep)
		if err != nil {
			return geminihook.Claim{}, failure(err)
		}
		if c.State != 0 {
			return c, nil
		}
	}
	return geminihook.Claim{}, errChangesHands
}

var errChangesHands = errors.New("sqlstore: the key changed hands each time Claim looked at it: " +
	"if this error persists, look for leases of a few milliseconds, and for a trigger or rule on the table that discards rows")

// Renew implements [geminihook.Store].
func (s *Store) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	return held(s.engine.renew(ctx, key, token, lease))
}

// Complete implements [geminihook.Store].
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return held(s.engine.complete(ctx, key, token, keep))
}

// Release implements [geminihook.Store].
func (s *Store) Release(ctx context.Context, key, token string) error {
	return held(s.engine.release(ctx, key, token))
}

// held turns the result of renew, complete or release into an error: ErrLeaseLost if the
// token did not have the key.
func held(ok bool, err error) error {
	if err == nil && !ok {
		return geminihook.ErrLeaseLost
	}
	return failure(err)
}

// Migrate creates the table and its index unless they exist. It may run at every
// start, in several processes at once. If you use your own migration tool, apply
// the statements in the folder schema, and call [Store.Check].
func (s *Store) Migrate(ctx context.Context) error { return failure(s.engine.migrate(ctx)) }

// Check returns an error if the store could not record an event now, and says what
// to change: the table is missing, the connection may not write, or the database
// has settings with which the store cannot work. It claims a key in a transaction
// that it rolls back, and with [SQLite] it waits for the writer to do so.
func (s *Store) Check(ctx context.Context) error { return failure(s.engine.check(ctx)) }

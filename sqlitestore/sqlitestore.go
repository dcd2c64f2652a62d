// Package sqlitestore is a [geminihook.Store] in SQLite, through database/sql
// and a driver of your choice, for the processes of one machine. A [Store] is
// also a [geminihook.Transactor]: what your function writes through [Tx] commits
// together with the record that the event was handled:
//
//	db, err := sql.Open("sqlite", "file:app.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
//	if err != nil {
//		return err
//	}
//	store := sqlitestore.New(db)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Transactor: store}
//	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		tx, err := sqlitestore.Tx(ctx)
//		if err != nil {
//			return err
//		}
//		_, err = tx.ExecContext(ctx, "INSERT INTO results (id) VALUES (?)", ev.ID)
//		return err // nil commits the row together with the event
//	})
//
// The database must use the write-ahead log and a busy timeout, because several
// connections and processes write to it. [Store.Migrate] and [Store.Check]
// refuse a database that does not.
//
// Claims remove expired rows, 100 per minute and process at most. Programs that
// handle more events than that call [Store.Purge] on a schedule.
package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

// Store is a [geminihook.Store] and a [geminihook.Transactor] in SQLite 3.35 or
// newer. Create it with [New]. Its table is geminihook_deliveries.
//
// SQLite has one writer at a time. The writers of one Store wait for each other
// in order of arrival until their contexts end. For writers of other processes,
// and for those that write to the database without the Store, they wait until
// the connection's busy timeout has passed.
type Store struct {
	// Now is the clock. Nil means time.Now.
	Now func() time.Time

	// MaxWaiting is how many claims and transactions may wait for the writer.
	// Further ones fail at once with geminihook.ErrStore, which is a 503 to the
	// sender. Zero means 1,000.
	MaxWaiting int

	db    *sql.DB
	queue queue

	mu        sync.Mutex
	running   map[string]struct{} // keys whose function runs, or waits to run, in a transaction of this Store
	nextPurge int64               // microseconds; zero before the first
}

// New returns a Store that uses the database. The caller closes the database,
// and calls [Store.Migrate] before the first event arrives.
func New(db *sql.DB) *Store {
	return &Store{
		db:      db,
		queue:   queue{place: make(chan struct{}, 1), writer: make(chan struct{}, 1)},
		running: map[string]struct{}{},
	}
}

// The states of a row, as in schema.sql.
const (
	claimed = 1
	done    = 2
)

const (
	// ?1 key, ?2 token, ?3 end of the lease, ?4 expiry, ?5 now.
	claimSQL = `
INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires) VALUES (?1, 1, ?2, 1, ?3, ?4)
ON CONFLICT (key) DO UPDATE SET state = 1, token = excluded.token, lease = excluded.lease, expires = excluded.expires,
	attempt = CASE WHEN expires <= ?5 THEN 1 WHEN state = 1 AND token = ?2 THEN attempt ELSE attempt + 1 END
WHERE expires <= ?5 OR state = 0 OR state = 1 AND (lease <= ?5 OR token = ?2)
RETURNING attempt`

	// ?1 key, ?2 now, ?3 the token of a claim, or null. A claim that already has
	// the key may take it again.
	stateSQL = `SELECT state, lease FROM geminihook_deliveries
WHERE key = ?1 AND expires > ?2 AND (state = 2 OR state = 1 AND lease > ?2 AND token IS NOT ?3)`

	// A repeated Complete does not extend the time that the key is kept.
	completeSQL = `UPDATE geminihook_deliveries SET state = 2, expires = CASE state WHEN 1 THEN ?3 ELSE expires END
WHERE key = ?1 AND token = ?2 AND state IN (1, 2) AND expires > ?4`

	releaseSQL = `UPDATE geminihook_deliveries SET state = 0, token = NULL
WHERE key = ?1 AND token = ?2 AND state = 1 AND expires > ?3`

	renewSQL = `UPDATE geminihook_deliveries SET lease = ?3, expires = max(expires, ?3)
WHERE key = ?1 AND token = ?2 AND state = 1 AND expires > ?4`
)

// Claim implements [geminihook.Store]. Reading the state of a key that is done
// or in progress waits for no writer.
func (s *Store) Claim(ctx context.Context, key, token string, lease, keep time.Duration) (geminihook.Claim, error) {
	c, err := s.look(ctx, key, token)
	if err != nil || c.State != 0 {
		return c, failure(err)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return geminihook.Claim{}, failure(err)
	}
	defer leave()
	now := s.now()
	err = s.db.QueryRowContext(ctx, claimSQL, []byte(key), []byte(token), after(now, lease), after(now, max(lease, keep)), now).
		Scan(&c.Attempt)
	switch {
	case err == nil:
		c.State = geminihook.Acquired
		s.purgeNow(ctx)
		return c, nil
	case !errors.Is(err, sql.ErrNoRows):
		return geminihook.Claim{}, failure(err)
	}
	if c, err = s.look(ctx, key, token); err != nil || c.State != 0 {
		return c, failure(err)
	}
	// Another process held the key and let go of it between the two statements.
	return geminihook.Claim{State: geminihook.InProgress, RetryIn: min(lease, time.Second)}, nil
}

// look returns the state of a key that is done or in progress, and the zero
// Claim for one that is free.
func (s *Store) look(ctx context.Context, key, token string) (geminihook.Claim, error) {
	if s.isRunning(key) {
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Second}, nil
	}
	return stateOf(ctx, s.db, key, []byte(token), s.now())
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func stateOf(ctx context.Context, db queryer, key string, token []byte, now int64) (geminihook.Claim, error) {
	var state int
	var lease int64
	err := db.QueryRowContext(ctx, stateSQL, []byte(key), now, token).Scan(&state, &lease)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return geminihook.Claim{}, nil
	case err != nil:
		return geminihook.Claim{}, err
	case state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	}
	return geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Duration(lease-now) * time.Microsecond}, nil
}

// Complete implements [geminihook.Store].
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	now := s.now()
	return s.held(ctx, completeSQL, []byte(key), []byte(token), after(now, keep), now)
}

// Release implements [geminihook.Store].
func (s *Store) Release(ctx context.Context, key, token string) error {
	return s.held(ctx, releaseSQL, []byte(key), []byte(token), s.now())
}

// Renew implements [geminihook.Store].
func (s *Store) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	now := s.now()
	return s.held(ctx, renewSQL, []byte(key), []byte(token), after(now, lease), now)
}

// held runs a statement that changes a row if the token still holds it.
func (s *Store) held(ctx context.Context, query string, args ...any) error {
	leave, err := s.queue.enterFirst(ctx)
	if err != nil {
		return failure(err)
	}
	defer leave()
	n, err := s.exec(ctx, query, args...)
	if err == nil && n == 0 {
		return geminihook.ErrLeaseLost
	}
	return failure(err)
}

// exec is for whoever is the writer.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *Store) now() int64 {
	if s.Now != nil {
		return s.Now().UnixMicro()
	}
	return time.Now().UnixMicro()
}

// after rounds up, and saturates instead of overflowing.
func after(now int64, d time.Duration) int64 {
	micros := max(0, int64((d-1)/time.Microsecond)+1)
	if now > math.MaxInt64-micros {
		return math.MaxInt64
	}
	return now + micros
}

func failure(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlitestore: %w", err)
}

// Package pgstore is a [geminihook.Store] and a [geminihook.Transactor] in
// PostgreSQL, for several instances that share it. As a Transactor, it commits what
// your function writes together with the mark that it ran:
//
//	store := pgstore.New(pool)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Transactor: store}
//	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		tx, err := pgstore.Tx(ctx)
//		if err != nil {
//			return err
//		}
//		_, err = tx.Exec(ctx, "INSERT INTO results (id) VALUES ($1)", ev.ID)
//		return err
//	})
//
// The database's clock decides when a lease ends and when a row expires. Rows
// that have expired are removed at a low rate as others are claimed;
// [Store.Purge] removes them faster.
package pgstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is a [geminihook.Store] and a [geminihook.Transactor] in PostgreSQL 12 or
// newer. Create it with [New]. Its statements work at the isolation level READ
// COMMITTED, whatever the database's default.
//
// An event can be claimed with a lease by one instance and run in a transaction by
// another, because both use the same table and see each other. If two of them meet
// at the moment when they begin, both may be InProgress, and the sender tries again.
//
// Do not change the fields after the first call, and do not copy a Store.
type Store struct {
	// Schema is the schema of the table. Empty means the first in the pool's
	// search_path that has the table. The first call looks it up.
	Schema string

	// Table is the name of the table. Empty means geminihook_deliveries.
	Table string

	// MaxTransactions is how many functions may run in a transaction at a time.
	// Others wait. Each function that runs holds a connection, so if it also
	// uses the pool, some must remain. Zero means one fewer than the pool's
	// MaxConns, but at least one.
	MaxTransactions int

	// PurgeInterval is how often claims and transactions remove up to 1,000 expired
	// rows in the background, at most. Zero means once per minute. If it is
	// negative, only Purge removes rows.
	PurgeInterval time.Duration

	pool      *pgxpool.Pool
	sql       atomic.Pointer[statements] // nil until the schema is known
	slotsOnce sync.Once
	slots     chan struct{} // one element per transaction that is in use
	purge     purgeState
}

// New returns a Store that uses the pool. The caller closes the pool. Migrate
// creates the table.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// claimTries is how many times Claim looks at a key that changes hands each time
// between two of its statements.
const claimTries = 10

var errChangesHands = errors.New("pgstore: the key changed hands each time Claim looked at it: " +
	"if this error persists, look for leases of a few milliseconds, and for a trigger or rule on the table that discards rows")

// Claim implements [geminihook.Store]. It takes one round trip for a new key, two
// if the key is not free, and three if it was claimed before. If a transaction has
// the key, RetryIn is zero.
func (s *Store) Claim(ctx context.Context, key, token string, lease, keep time.Duration) (
	geminihook.Claim, error,
) {
	sql, err := s.statements(ctx)
	if err != nil {
		return geminihook.Claim{}, failure(ctx, err)
	}
	for range claimTries {
		c, err := s.claim(ctx, sql, key, token, lease, keep)
		if err != nil {
			return geminihook.Claim{}, failure(ctx, err)
		}
		if c.State == geminihook.Acquired {
			s.purgeSome()
		}
		if c.State != 0 {
			return c, nil
		}
	}
	return geminihook.Claim{}, errChangesHands
}

// claim tries once to claim the key. First it inserts a row, which succeeds if the
// key is new. Otherwise it reads who has the key, because that writes nothing, and
// updates the row if the key is free. It returns the zero Claim, and should be
// called again, if the key changed hands between two of these statements.
func (s *Store) claim(
	ctx context.Context, sql *statements, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	keepFor := seconds(max(lease, keep))
	args := []any{[]byte(key), keepFor, []byte(token), seconds(lease), lockOf(key)}
	c := geminihook.Claim{State: geminihook.Acquired}
	acquired, err := s.row(ctx, sql.claim, args, &c.Attempt)
	if err != nil || acquired {
		return c, err
	}
	var state int
	var unlocked bool
	var left float64
	look := []any{[]byte(key), lockOf(key), []byte(token)}
	if _, err := s.row(ctx, sql.state, look, &state, &unlocked, &left); err != nil {
		return geminihook.Claim{}, err
	}
	switch {
	case state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	case state == claimed:
		retryIn := time.Duration(left * float64(time.Second))
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: max(1, retryIn)}, nil
	case !unlocked:
		return geminihook.Claim{State: geminihook.InProgress}, nil
	}
	acquired, err = s.row(ctx, sql.reclaim, args, &c.Attempt)
	if err != nil || acquired {
		return c, err
	}
	return geminihook.Claim{}, nil
}

// Renew implements [geminihook.Store]. It takes one round trip.
func (s *Store) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	sql, err := s.statements(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	return s.update(ctx, sql.renew, []byte(key), seconds(lease), []byte(token))
}

// Complete implements [geminihook.Store]. It takes one round trip.
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	sql, err := s.statements(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	err = s.update(ctx, sql.complete, []byte(key), seconds(keep), []byte(token))
	if errors.Is(err, geminihook.ErrLeaseLost) {
		return s.update(ctx, sql.completed, []byte(key), []byte(token)) // if it is a repeated call
	}
	return err
}

// Release implements [geminihook.Store]. It takes one round trip.
func (s *Store) Release(ctx context.Context, key, token string) error {
	sql, err := s.statements(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	return s.update(ctx, sql.release, []byte(key), []byte(token))
}

// update runs a statement that finds a row only if the token has the key.
func (s *Store) update(ctx context.Context, sql string, args ...any) error {
	var attempt int
	found, err := s.row(ctx, sql, args, &attempt)
	if err != nil {
		return failure(ctx, err)
	}
	if !found {
		return geminihook.ErrLeaseLost
	}
	return nil
}

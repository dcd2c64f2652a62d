// Package pgstore is a [geminihook.Store] in PostgreSQL, for several instances
// that share it. Start with [New], [Store.Migrate] and [Store.Transactional],
// which commits what your function writes together with the mark that it ran:
//
//	store := pgstore.New(pool)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: store.Transactional()}
//	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		tx, err := pgstore.RequireTx(ctx)
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
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The defaults of the fields of Store.
const (
	DefaultTable         = "geminihook_deliveries"
	DefaultTimeout       = 3 * time.Second
	DefaultPurgeInterval = time.Minute
)

// Store is a [geminihook.Store] and a [geminihook.Renewer] in PostgreSQL 12 or
// newer. Create it with [New]. Every statement runs at the isolation level READ
// COMMITTED, whatever the database's default.
//
// Do not change the fields after the first call, and do not copy a Store.
type Store struct {
	// Schema is the schema of the table. Empty means the first in the pool's
	// search_path that has the table.
	Schema string

	// Table is the name of the table. Empty means DefaultTable.
	Table string

	// Timeout bounds the store's own work before a function that runs in a
	// transaction, including the wait for a connection, and again after it.
	// Zero means DefaultTimeout. Claim, Complete, Release, Renew and Purge are
	// bounded by their context alone.
	Timeout time.Duration

	// MaxTransactions is how many functions may run in a transaction at a
	// time. Further ones wait for up to Timeout. Each function that runs holds
	// a connection, so if it also uses the pool, some must remain. Zero means
	// one fewer than the pool's MaxConns, but at least one.
	MaxTransactions int

	// PurgeInterval is the least time between two removals, each of up to
	// 1,000 expired rows, that claims start in the background. Zero means
	// DefaultPurgeInterval; if it is negative, only Purge removes rows.
	PurgeInterval time.Duration

	pool  *pgxpool.Pool
	once  sync.Once
	sql   statements
	slots chan struct{} // one element per transaction that is in use

	purge purgeState
	late  lateClaims
}

// New returns a Store that uses the pool. The caller closes the pool. Migrate
// creates the table.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// The states in the table.
const (
	released = iota
	claimed
	done
)

// tries is how often a call looks at a key that changes hands each time between
// two of its statements.
const tries = 10

var errRestless = errors.New("pgstore: the key changed hands each time it was looked at")

// Claim implements [geminihook.Store]. It takes one round trip. If its context
// ends or its connection breaks, the database may still carry out the claim; if
// so, the store releases it in the background.
func (s *Store) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	for range tries {
		c, err := s.claim(ctx, key, lease, keep)
		if err != nil {
			return geminihook.Claim{}, s.failure(ctx, err)
		}
		if c.State == geminihook.Acquired {
			s.purgeSome()
		}
		if c.State != 0 {
			return c, nil
		}
	}
	return geminihook.Claim{}, errRestless
}

// claim tries to take the key and, in the same round trip, looks at who has it.
// The state is zero if the key was not free at first and free afterwards.
func (s *Store) claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return geminihook.Claim{}, err
	}
	defer conn.Release()
	token := newToken()
	keepFor, step := expiry(max(lease, keep))
	var taken, found bool
	var state, attempt int
	var left int64
	err = send(ctx, conn, func(b *pgx.Batch) {
		b.Queue(s.statements().claim, []byte(key), []byte(token), lease.Microseconds(), keepFor, step).
			QueryRow(optional(&taken, &attempt))
		b.Queue(s.statements().state, []byte(key)).QueryRow(optional(&found, &state, &left))
	})
	switch {
	case err != nil:
		if !refused(err) {
			s.releaseLate(key, token)
		}
		return geminihook.Claim{}, err
	case taken:
		return geminihook.Claim{State: geminihook.Acquired, Token: token, Attempt: attempt}, nil
	case found && state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	case found:
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: max(1, time.Duration(left)*time.Microsecond)}, nil
	}
	return geminihook.Claim{}, nil
}

// newToken has 80 random bits. The whole rand.Text would cost ten more bytes
// per row, and a token only has to differ from the others of its key.
func newToken() string { return rand.Text()[:16] }

// Complete implements [geminihook.Store]. It takes one round trip.
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	keepFor, step := expiry(keep)
	return s.change(ctx, func(b *pgx.Batch, changed *bool) {
		b.Queue(s.statements().complete, []byte(key), []byte(token), keepFor, step).Exec(countInto(changed))
		b.Queue(s.statements().completed, []byte(key), []byte(token)).Exec(countInto(changed))
	})
}

// Release implements [geminihook.Store]. It takes one round trip.
func (s *Store) Release(ctx context.Context, key, token string) error {
	return s.change(ctx, func(b *pgx.Batch, changed *bool) {
		b.Queue(s.statements().release, []byte(key), []byte(token)).Exec(countInto(changed))
	})
}

// Renew implements [geminihook.Renewer]. It takes one round trip.
func (s *Store) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	keepFor, step := expiry(lease)
	return s.change(ctx, func(b *pgx.Batch, changed *bool) {
		b.Queue(s.statements().renew, []byte(key), []byte(token), lease.Microseconds(), keepFor, step).Exec(countInto(changed))
	})
}

// change runs statements that find a row only if the token holds the key.
func (s *Store) change(ctx context.Context, queue func(b *pgx.Batch, changed *bool)) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return s.failure(ctx, err)
	}
	defer conn.Release()
	changed := false
	err = send(ctx, conn, func(b *pgx.Batch) { queue(b, &changed) })
	if err == nil && !changed {
		return geminihook.ErrLeaseLost
	}
	return s.failure(ctx, err)
}

// send runs a transaction in one round trip. A snapshot of the whole transaction
// would neither see what others commit between two statements nor let a
// statement that waited for them go on, so the isolation level is not left to
// the database's default. If a statement fails, the pool closes the connection.
func send(ctx context.Context, conn *pgxpool.Conn, queue func(b *pgx.Batch)) error {
	var b pgx.Batch
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	queue(&b)
	b.Queue("COMMIT")
	return conn.SendBatch(ctx, &b).Close()
}

// optional scans a row that need not exist.
func optional(found *bool, into ...any) func(pgx.Row) error {
	return func(row pgx.Row) error {
		err := row.Scan(into...)
		*found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	}
}

// countInto notes that a statement found a row.
func countInto(found *bool) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		*found = *found || tag.RowsAffected() > 0
		return nil
	}
}

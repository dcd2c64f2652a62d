// Package pgstore is a [geminihook.Store] in PostgreSQL, for several instances
// that share it. Begin with [New], [Store.Migrate] and, so that what a function
// writes commits together with the mark that it ran, [Store.Transactional]:
//
//	store := pgstore.New(pool)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: store.Transactional()}
//	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		tx, _ := pgstore.Tx(ctx)
//		_, err := tx.Exec(ctx, "INSERT INTO results (id) VALUES ($1)", ev.ID)
//		return err
//	})
//
// The database's clock decides. Call [Store.Purge] from time to time.
package pgstore

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is a geminihook.Store in PostgreSQL 12 or newer. Make it with New. Its
// table is geminihook_deliveries, in the schema that comes first in the pool's
// search_path.
type Store struct{ pool *pgxpool.Pool }

// New returns a Store that uses the pool, which the caller closes. Migrate makes
// its table.
func New(pool *pgxpool.Pool) *Store { return &Store{pool} }

// The states in the table.
const (
	released = iota
	claimed
	done
)

//go:embed schema.sql
var schema string

const migrateLock = 0x6765_6d69_6e69 // "gemini"

// Migrate makes the table and its index if they are missing. It may run at every
// start, in several instances at once. Who migrates with a tool of their own
// finds the statements in schema.sql.
func (s *Store) Migrate(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// IF NOT EXISTS alone fails when two create at once.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrateLock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	return failure(err)
}

// The time is that of the statement's work, not that of its transaction, for a
// claim may have waited for another's.
const (
	free = `(d.expires <= clock_timestamp() OR d.state = 0 OR d.state = 1 AND d.lease <= clock_timestamp())`

	// $1 key, $2 token, $3 lease, $4 keep, in microseconds.
	claimSQL = `
INSERT INTO geminihook_deliveries AS d (key, state, token, attempt, lease, expires)
SELECT $1, 1, $2, 1, now + $3::bigint * interval '1 microsecond', now + greatest($3::bigint, $4::bigint) * interval '1 microsecond'
FROM (SELECT clock_timestamp() AS now) AS clock
ON CONFLICT (key) DO UPDATE SET state = 1, token = excluded.token, lease = excluded.lease, expires = excluded.expires,
	attempt = CASE WHEN d.expires <= clock_timestamp() THEN 1 ELSE d.attempt + 1 END
WHERE ` + free + `
RETURNING attempt`

	stateSQL = `
SELECT state, (extract(epoch FROM lease - clock_timestamp()) * 1000000)::bigint
FROM geminihook_deliveries AS d WHERE key = $1 AND NOT ` + free

	completeSQL = `
UPDATE geminihook_deliveries SET state = 2, expires = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE key = $1 AND token = $2 AND state IN (1, 2) AND expires > clock_timestamp()`

	releaseSQL = `
UPDATE geminihook_deliveries SET state = 0, token = NULL
WHERE key = $1 AND token = $2 AND state = 1 AND expires > clock_timestamp()`
)

// Claim implements geminihook.Store. It is one round trip, whatever the answer.
func (s *Store) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	for range 3 {
		c, err := s.claim(ctx, key, lease, keep)
		if err != nil {
			return geminihook.Claim{}, failure(err)
		}
		if c.State != 0 {
			return c, nil
		}
		// Another held the key when this one tried to take it, and let go of it
		// before this one looked.
	}
	return geminihook.Claim{State: geminihook.InProgress, RetryIn: min(lease, time.Second)}, nil
}

// claim tries to take the key and, in the same round trip, looks who has it.
func (s *Store) claim(ctx context.Context, key string, lease, keep time.Duration) (c geminihook.Claim, err error) {
	token := rand.Text()
	taken, found := false, false
	var state, attempt int
	var left int64
	var b pgx.Batch
	// A snapshot of the whole transaction would not see what another commits
	// between the two statements, whatever the database's default.
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	b.Queue(claimSQL, []byte(key), []byte(token), lease.Microseconds(), keep.Microseconds()).QueryRow(optional(&taken, &attempt))
	b.Queue(stateSQL, []byte(key)).QueryRow(optional(&found, &state, &left))
	b.Queue("COMMIT")
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return geminihook.Claim{}, err
	}
	switch {
	case taken:
		return geminihook.Claim{State: geminihook.Acquired, Token: token, Attempt: attempt}, nil
	case found && state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	case found:
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: max(1, time.Duration(left)*time.Microsecond)}, nil
	}
	return geminihook.Claim{}, nil
}

// optional scans a row that need not be there.
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

// Complete implements geminihook.Store.
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return s.held(ctx, completeSQL, []byte(key), []byte(token), max(1, keep.Microseconds()))
}

// Release implements geminihook.Store.
func (s *Store) Release(ctx context.Context, key, token string) error {
	return s.held(ctx, releaseSQL, []byte(key), []byte(token))
}

func (s *Store) held(ctx context.Context, sql string, args ...any) error {
	tag, err := s.pool.Exec(ctx, sql, args...)
	if err != nil {
		return failure(err)
	}
	if tag.RowsAffected() == 0 {
		return geminihook.ErrLeaseLost
	}
	return nil
}

const purgeBatch = 500

// $1 how many. A row that is being claimed is left for the next time.
const purgeSQL = `
DELETE FROM geminihook_deliveries WHERE key IN (
	SELECT key FROM geminihook_deliveries WHERE expires <= clock_timestamp()
	ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED)`

// Purge removes up to limit rows that have expired, the oldest first, in
// transactions of at most 500, and returns how many it removed. A limit of 0
// or less means all. Several instances may purge at once. Rows that have expired
// but are not purged only take space.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	purged := 0
	for limit <= 0 || purged < limit {
		batch := purgeBatch
		if limit > 0 {
			batch = min(batch, limit-purged)
		}
		tag, err := s.pool.Exec(ctx, purgeSQL, batch)
		if err != nil {
			return purged, failure(err)
		}
		purged += int(tag.RowsAffected())
		if int(tag.RowsAffected()) < batch {
			break
		}
	}
	return purged, nil
}

func failure(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pgstore: %w", err)
}

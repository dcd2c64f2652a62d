// Package sqlitestore is a [geminihook.Store] in SQLite, through database/sql
// and a driver of your choice, for the processes of one machine. Begin with
// [New], [Store.Migrate] and, so that what a function writes commits together
// with the mark that it ran, [Store.Transactional]:
//
//	db, err := sql.Open("sqlite", "file:app.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
//	if err != nil {
//		return err
//	}
//	store := sqlitestore.New(db)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: store.Transactional()}
//	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		tx, _ := sqlitestore.Tx(ctx)
//		_, err := tx.ExecContext(ctx, "INSERT INTO results (id) VALUES (?)", ev.ID)
//		return err
//	})
//
// The write-ahead log and a busy timeout are needed: several connections and
// processes write. Call [Store.Purge] from time to time.
package sqlitestore

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

// Store is a geminihook.Store in SQLite 3.35 or newer. Make it with New. Its
// table is geminihook_deliveries.
//
// SQLite has one writer at a time. Of one Store the writers wait for each other
// in turn, until their contexts end; those of other processes, and those that
// go around the Store, as long as the busy timeout says.
type Store struct {
	Now func() time.Time // the clock of the machine; nil means time.Now

	db     *sql.DB
	writer chan struct{} // holds a value while one writes

	mu      sync.Mutex
	running map[string]struct{} // keys whose function runs in a transaction of this Store
}

// New returns a Store that uses the database, which the caller closes. Migrate
// makes its table.
func New(db *sql.DB) *Store {
	return &Store{db: db, writer: make(chan struct{}, 1), running: map[string]struct{}{}}
}

const (
	released = iota
	claimed
	done
)

//go:embed schema.sql
var schema string

// Migrate makes the table and its index if they are missing. It may run at every
// start, in several processes at once. Who migrates with a tool of their own
// finds the statements in schema.sql.
func (s *Store) Migrate(ctx context.Context) error {
	return failure(s.write(ctx, func() error {
		_, err := s.db.ExecContext(ctx, schema)
		return err
	}))
}

// write waits its turn. A busy timeout alone would be unfair, and deaf to the
// context.
func (s *Store) write(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
		return f()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ?1 key, ?2 token, ?3 the end of the lease, ?4 when it expires, ?5 now.
const (
	free = `(expires <= ?5 OR state = 0 OR state = 1 AND lease <= ?5)`

	claimSQL = `
INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires) VALUES (?1, 1, ?2, 1, ?3, ?4)
ON CONFLICT (key) DO UPDATE SET state = 1, token = excluded.token, lease = excluded.lease, expires = excluded.expires,
	attempt = CASE WHEN expires <= ?5 THEN 1 ELSE attempt + 1 END
WHERE ` + free + `
RETURNING attempt`

	stateSQL = `SELECT state, lease FROM geminihook_deliveries
WHERE key = ?1 AND expires > ?2 AND (state = 2 OR state = 1 AND lease > ?2)`

	completeSQL = `UPDATE geminihook_deliveries SET state = 2, expires = ?3
WHERE key = ?1 AND token = ?2 AND state IN (1, 2) AND expires > ?4`

	releaseSQL = `UPDATE geminihook_deliveries SET state = 0, token = NULL
WHERE key = ?1 AND token = ?2 AND state = 1 AND expires > ?3`

	purgeSQL = `DELETE FROM geminihook_deliveries WHERE key IN (
	SELECT key FROM geminihook_deliveries WHERE expires <= ?1 ORDER BY expires LIMIT ?2)`
)

// Claim implements geminihook.Store.
func (s *Store) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	c, err := s.look(ctx, key) // which waits for no writer
	if err != nil || c.State != 0 {
		return c, failure(err)
	}
	err = s.write(ctx, func() error {
		now, token := s.now(), rand.Text()
		err := s.db.QueryRowContext(ctx, claimSQL, []byte(key), []byte(token), after(now, lease), after(now, max(lease, keep)), now).
			Scan(&c.Attempt)
		if err == nil {
			c.State, c.Token = geminihook.Acquired, token
		}
		return err
	})
	if !errors.Is(err, sql.ErrNoRows) {
		return c, failure(err)
	}
	if c, err = s.look(ctx, key); err != nil || c.State != 0 {
		return c, failure(err)
	}
	// Another held it and let go of it between the two looks.
	return geminihook.Claim{State: geminihook.InProgress, RetryIn: min(lease, time.Second)}, nil
}

// look returns the state of a key that is not free, and no state of one that is.
func (s *Store) look(ctx context.Context, key string) (geminihook.Claim, error) {
	s.mu.Lock()
	_, running := s.running[key]
	s.mu.Unlock()
	if running {
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Second}, nil
	}
	now := s.now()
	var state int
	var lease int64
	err := s.db.QueryRowContext(ctx, stateSQL, []byte(key), now).Scan(&state, &lease)
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

// Complete implements geminihook.Store.
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	now := s.now()
	return s.held(ctx, completeSQL, []byte(key), []byte(token), after(now, keep), now)
}

// Release implements geminihook.Store.
func (s *Store) Release(ctx context.Context, key, token string) error {
	return s.held(ctx, releaseSQL, []byte(key), []byte(token), s.now())
}

func (s *Store) held(ctx context.Context, query string, args ...any) error {
	n, err := s.exec(ctx, query, args...)
	if err == nil && n == 0 {
		return geminihook.ErrLeaseLost
	}
	return failure(err)
}

func (s *Store) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.write(ctx, func() error {
		result, err := s.db.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

const purgeBatch = 500

// Purge removes up to limit rows that have expired, the oldest first, in
// transactions of at most 500, and returns how many it removed. A limit of 0 or
// less means all. Rows that have expired but are not purged only take space.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	purged := 0
	for limit <= 0 || purged < limit {
		batch := purgeBatch
		if limit > 0 {
			batch = min(batch, limit-purged)
		}
		n, err := s.exec(ctx, purgeSQL, s.now(), batch)
		if err != nil {
			return purged, failure(err)
		}
		purged += int(n)
		if int(n) < batch {
			break
		}
	}
	return purged, nil
}

func (s *Store) now() int64 {
	if s.Now != nil {
		return s.Now().UnixMicro()
	}
	return time.Now().UnixMicro()
}

// after rounds up and does not pass the end of time.
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

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

// sqlite is the engine of [SQLite]. There is one writer at a time, and statements
// are prepared, because parsing them takes a third of the time.
type sqlite struct {
	db       *sql.DB
	prepared *prepared
	queue    queue
	purging  purging

	mu      sync.Mutex
	running map[string]struct{} // keys whose function runs in a transaction, or waits to
}

func newSQLite(db *sql.DB) *sqlite {
	return &sqlite{
		db:       db,
		prepared: newPrepared(db),
		running:  map[string]struct{}{},
	}
}

const (
	// ?1 key, ?2 token, ?3 end of the lease, ?4 expiry, ?5 now.
	sqliteClaim = `
INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
VALUES (?1, 1, ?2, 1, ?3, ?4)
ON CONFLICT (key) DO UPDATE
SET state = 1, token = excluded.token, lease = excluded.lease, expires = excluded.expires,
	attempt = CASE WHEN expires <= ?5 THEN 1
		WHEN state = 1 AND token = ?2 THEN attempt ELSE attempt + 1 END
WHERE expires <= ?5 OR state = 0 OR (state = 1 AND (lease <= ?5 OR token = ?2))
RETURNING attempt`

	// ?1 key, ?2 now, ?3 the token of a claim, which may take the key that it
	// already has, or noToken.
	sqliteNotFree = `
key = ?1 AND expires > ?2 AND (state = 2 OR (state = 1 AND lease > ?2 AND token IS NOT ?3))`

	sqliteState = "SELECT state, lease FROM geminihook_deliveries WHERE" + sqliteNotFree

	// ?1 key, ?2 token, ?3 end of the lease, ?4 now.
	sqliteRenew = `
UPDATE geminihook_deliveries SET lease = ?3, expires = max(expires, ?3)
WHERE key = ?1 AND token = ?2 AND state = 1 AND expires > ?4`

	// ?1 key, ?2 token, ?3 expiry, ?4 now. A repeated Complete does not extend
	// the time that the key is kept.
	sqliteComplete = `
UPDATE geminihook_deliveries SET state = 2, expires = CASE state WHEN 1 THEN ?3 ELSE expires END
WHERE key = ?1 AND token = ?2 AND state IN (1, 2) AND expires > ?4`

	// ?1 key, ?2 token, ?3 now.
	sqliteRelease = `
UPDATE geminihook_deliveries SET state = 0, token = NULL
WHERE key = ?1 AND token = ?2 AND state = 1 AND expires > ?3`

	// ?1 now, ?2 how many.
	sqlitePurge = `
DELETE FROM geminihook_deliveries WHERE key IN (
	SELECT key FROM geminihook_deliveries WHERE expires <= ?1 ORDER BY expires LIMIT ?2)`
)

// claim looks first, because that waits for no writer.
func (e *sqlite) claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	c, err := e.look(ctx, key, token)
	if err != nil || c.State != 0 {
		return c, err
	}
	stmt, err := e.prepared.get(ctx, sqliteClaim)
	if err != nil {
		return geminihook.Claim{}, err
	}
	leave, err := e.queue.enter(ctx)
	if err != nil {
		return geminihook.Claim{}, err
	}
	defer leave()
	now := sqliteNow()
	leaseEnd, expires := after(now, lease), after(now, max(lease, keep))
	row := stmt.QueryRowContext(ctx, []byte(key), []byte(token), leaseEnd, expires, now)
	err = row.Scan(&c.Attempt)
	switch {
	case errors.Is(err, sql.ErrNoRows): // another process was faster
		return e.look(ctx, key, token)
	case err != nil:
		return geminihook.Claim{}, err
	}
	c.State = geminihook.Acquired
	e.purgeSome(ctx)
	return c, nil
}

// noToken is the token of a transaction, which makes no claim.
const noToken = ""

// look returns the state of a key that is done or in progress. It returns the zero
// Claim if the key is free, or has been claimed with this token.
func (e *sqlite) look(ctx context.Context, key, token string) (geminihook.Claim, error) {
	if e.isRunning(key) {
		return geminihook.Claim{State: geminihook.InProgress}, nil
	}
	stmt, err := e.prepared.get(ctx, sqliteState)
	if err != nil {
		return geminihook.Claim{}, err
	}
	return sqliteLook(ctx, stmt, key, token)
}

func sqliteLook(ctx context.Context, stmt *sql.Stmt, key, token string) (geminihook.Claim, error) {
	var state int
	var lease int64
	now := sqliteNow()
	err := stmt.QueryRowContext(ctx, []byte(key), now, []byte(token)).Scan(&state, &lease)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return geminihook.Claim{}, nil
	case err != nil:
		return geminihook.Claim{}, err
	case state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	}
	return inProgress(lease - now), nil
}

func (e *sqlite) isRunning(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.running[key]
	return ok
}

func (e *sqlite) renew(ctx context.Context, key, token string, lease time.Duration) (bool, error) {
	return e.update(ctx, sqliteRenew, func(now int64) []any {
		return []any{[]byte(key), []byte(token), after(now, lease), now}
	})
}

func (e *sqlite) complete(
	ctx context.Context, key, token string, keep time.Duration,
) (bool, error) {
	return e.update(ctx, sqliteComplete, func(now int64) []any {
		return []any{[]byte(key), []byte(token), after(now, keep), now}
	})
}

func (e *sqlite) release(ctx context.Context, key, token string) (bool, error) {
	return e.update(ctx, sqliteRelease, func(now int64) []any {
		return []any{[]byte(key), []byte(token), now}
	})
}

// update runs a statement that changes a row if the token has the key. The time is
// that of its turn to write.
func (e *sqlite) update(
	ctx context.Context, query string, args func(now int64) []any,
) (bool, error) {
	leave, err := e.queue.enterFirst(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	n, err := e.exec(ctx, query, args(sqliteNow())...)
	return n > 0, err
}

// exec executes a statement that writes. The caller must be the writer.
func (e *sqlite) exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt, err := e.prepared.get(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (e *sqlite) purge(ctx context.Context, limit int) (int, error) {
	leave, err := e.queue.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	n, err := e.exec(ctx, sqlitePurge, sqliteNow(), limit)
	return int(n), err
}

// purgeSome removes some expired rows at the end of a call that is still the writer.
// It stops after 100 milliseconds, so that a slow disk delays a claim by no more than
// that: rows with random keys are scattered over the file.
func (e *sqlite) purgeSome(ctx context.Context) {
	if !e.purging.due() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, _ = e.exec(ctx, sqlitePurge, sqliteNow(), 100)
}

// sqliteNow returns the time in the table's unit, microseconds since 1970.
func sqliteNow() int64 { return time.Now().UnixMicro() }

// after returns the time d after now. It saturates instead of overflowing.
func after(now int64, d time.Duration) int64 {
	end := now + micros(d)
	if end < now {
		return math.MaxInt64
	}
	return end
}

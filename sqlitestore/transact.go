package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// Transactional returns the store as a geminihook.Transactor: Endpoint then runs
// its function inside a transaction, which Tx finds, and what the function
// writes there commits together with the mark that it ran: exactly once. Nothing
// else can write to the database while the function runs: keep it short. The
// table is the same as that of the plain store.
func (s *Store) Transactional() geminihook.Store { return &transactional{s} }

type transactional struct{ *Store }

type txKey struct{}

// Tx returns the transaction that the function runs in. The store commits it or
// rolls it back by what the function returns: the function must not, and must
// not write to the database in any other way, which would wait for itself.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(*sql.Tx)
	return tx, ok
}

// markSQL is the first statement of its transaction: one that begins by reading
// cannot write if another wrote meanwhile. ?1 key, ?2 nothing, ?3 the end of the lease,
// which is over, ?4 when it expires, ?5 now.
const markSQL = `
INSERT INTO geminihook_deliveries (key, state, attempt, lease, expires) VALUES (?1, 2, 1, ?3, ?4)
ON CONFLICT (key) DO UPDATE SET state = 2, token = NULL, attempt = attempt + 1, expires = excluded.expires
WHERE ` + free

// Transact implements geminihook.Transactor.
func (t *transactional) Transact(ctx context.Context, key string, keep time.Duration, fn func(context.Context) error) (
	state geminihook.State, err error,
) {
	c, err := t.look(ctx, key)
	switch {
	case err != nil:
		return 0, storeFailed(err)
	case c.State != 0:
		return c.State, nil
	case !t.start(key):
		return geminihook.InProgress, nil
	}
	defer t.end(key)
	var own error
	err = t.write(ctx, func() error {
		state, own, err = t.run(ctx, key, keep, fn)
		return err
	})
	if err != nil {
		return state, errors.Join(storeFailed(err), own)
	}
	return state, own
}

// start says that the key runs, unless it does already.
func (t *transactional) start(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.running[key]; ok {
		return false
	}
	t.running[key] = struct{}{}
	return true
}

func (t *transactional) end(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, key)
}

// run returns the function's own error apart from the store's.
func (t *transactional) run(ctx context.Context, key string, keep time.Duration, fn func(context.Context) error) (
	state geminihook.State, own, err error,
) {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	now := t.now()
	result, err := tx.ExecContext(ctx, markSQL, []byte(key), nil, now, after(now, keep), now)
	if err != nil {
		return 0, nil, err
	}
	if n, err := result.RowsAffected(); err != nil {
		return 0, nil, err
	} else if n == 0 { // another process was faster
		var state int
		err := tx.QueryRowContext(ctx, "SELECT state FROM geminihook_deliveries WHERE key = ?1", []byte(key)).Scan(&state)
		if state == done {
			return geminihook.Done, nil, err
		}
		return geminihook.InProgress, nil, err
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT geminihook"); err != nil {
		return 0, nil, err
	}
	own = fn(context.WithValue(ctx, txKey{}, tx))
	if own != nil && !errors.Is(own, geminihook.ErrPermanent) {
		return geminihook.Acquired, own, nil
	}
	if own != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO geminihook"); err != nil {
			return geminihook.Acquired, own, err
		}
	}
	return geminihook.Acquired, own, tx.Commit()
}

func storeFailed(err error) error {
	return fmt.Errorf("%w: %w", geminihook.ErrStore, failure(err))
}

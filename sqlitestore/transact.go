package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

type txKey struct{}

// Tx returns the transaction that the function runs in. It returns an error that
// says what is missing if there is none.
//
// What the function returns decides: nil commits, an error rolls back. The Tx's
// own Commit and Rollback return an error that wraps [sql.ErrTxDone] and end its
// use, but not the transaction. So a deferred Rollback is harmless, and a function
// that calls Commit itself has to ignore its error.
//
// The function must not write to the database in any other way, which would
// wait for the function itself. Statements that were prepared on the pool
// cannot be used in the Tx: prepare them on the Tx.
func Tx(ctx context.Context) (*sql.Tx, error) {
	tx, ok := ctx.Value(txKey{}).(*sql.Tx)
	if !ok {
		return nil, errors.New("sqlitestore: the context has no transaction: set Endpoint.Transactor, not Store, " +
			"and pass on the context that the function was called with")
	}
	return tx, nil
}

// ?1 key, ?2 expiry. It is the last statement before the commit: nothing that
// the function does can make the mark permanent without the outcome.
const markSQL = `
INSERT INTO geminihook_deliveries (key, state, attempt, lease, expires) VALUES (?1, 2, 1, 0, ?2)
ON CONFLICT (key) DO UPDATE SET state = 2, token = NULL, attempt = attempt + 1, expires = excluded.expires`

// Transact implements [geminihook.Transactor]. Nothing else can write to the
// database while the function runs, so keep it short. The table is the same as
// that of the claims.
//
// Runs that were rolled back are not counted, and [geminihook.Event.Attempt] is
// zero: the count would be rolled back with them, and counting it in another
// transaction would double the commits of every event.
func (s *Store) Transact(ctx context.Context, key string, keep time.Duration, fn func(context.Context) error) (
	geminihook.State, error,
) {
	c, err := s.look(ctx, key, "")
	switch {
	case err != nil:
		return 0, storeFailed(err)
	case c.State != 0:
		return c.State, nil
	case !s.start(key):
		return geminihook.InProgress, nil
	}
	defer s.end(key)
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, storeFailed(err)
	}
	defer leave()
	r := run{store: s, key: key, keep: keep, fn: fn}
	if err := r.do(ctx); err != nil {
		return r.state, errors.Join(storeFailed(err), r.own)
	}
	if r.state == geminihook.Acquired {
		s.purgeNow(ctx)
	}
	return r.state, r.own
}

func (s *Store) isRunning(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.running[key]
	return ok
}

// start records that the key runs, unless it does already.
func (s *Store) start(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.running[key]; ok {
		return false
	}
	s.running[key] = struct{}{}
	return true
}

func (s *Store) end(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, key)
}

// run is one transaction.
type run struct {
	store *Store
	key   string
	keep  time.Duration
	fn    func(context.Context) error

	state geminihook.State
	own   error // what fn returned
}

// do returns the store's error, if it failed.
func (r *run) do(ctx context.Context) error {
	conn, err := r.store.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var failed error
	_ = conn.Raw(func(raw any) (discard error) {
		s, err := openSession(ctx, raw)
		if err != nil {
			failed = err
			return nil
		}
		defer func() { discard = s.close(ctx) }() // also if fn panics
		failed = r.inside(ctx, s)
		return nil
	})
	return failed
}

func (r *run) inside(ctx context.Context, s *session) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	c, err := stateOf(ctx, s.conn, r.key, nil, r.store.now())
	if err != nil || c.State != 0 { // another process was faster
		r.state = c.State
		return err
	}
	if err := s.exec(ctx, "SAVEPOINT geminihook"); err != nil {
		return err
	}
	r.state = geminihook.Acquired
	if r.own, err = s.call(ctx, r.fn); err != nil {
		return err
	}
	end := "RELEASE geminihook"
	switch {
	case errors.Is(r.own, geminihook.ErrPermanent):
		end = "ROLLBACK TO geminihook"
	case r.own != nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("rolled back, because the time was over when the function returned: %w", context.Cause(ctx))
	}
	// From here on it takes milliseconds, and the context would only leave the
	// outcome unknown.
	ctx = context.WithoutCancel(ctx)
	if err := s.exec(ctx, end); err != nil {
		return fmt.Errorf("the transaction had ended before the function returned, by a statement of the function or by SQLite: %w", err)
	}
	now := r.store.now()
	if err := s.exec(ctx, markSQL, []byte(r.key), after(now, r.keep)); err != nil {
		return err
	}
	return s.commit(ctx)
}

func storeFailed(err error) error {
	if errors.Is(err, geminihook.ErrStore) {
		return failure(err)
	}
	return fmt.Errorf("%w: %w", geminihook.ErrStore, failure(err))
}

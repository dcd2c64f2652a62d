package pgstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

// Transact implements [geminihook.Transactor]. It takes two round trips besides the
// function's own, and two if the key is not free. A run that is rolled back is not
// counted as an attempt.
//
// It holds a connection of the pool while the function runs; see
// [Store.MaxTransactions]. If the function goes on for more than a second after
// Transact's context has ended, the store closes the connection and lets another
// function run in its place.
//
// While the function runs, idle_in_transaction_session_timeout is set to the time
// that remains until the deadline of Transact's context, or to an hour if it has
// none.
func (s *Store) Transact(
	ctx context.Context, key string, keep time.Duration, fn func(context.Context) error,
) (geminihook.State, error) {
	state, err := s.transact(ctx, key, keep, fn)
	if state == geminihook.Acquired && err == nil {
		s.purgeSome()
	}
	return state, err
}

func (s *Store) transact(
	ctx context.Context, key string, keep time.Duration, fn func(context.Context) error,
) (geminihook.State, error) {
	sql, err := s.statements(ctx)
	if err != nil {
		return 0, storeFailed(ctx, err)
	}
	freeSlot, err := s.slot(ctx)
	if err != nil {
		return 0, storeFailed(ctx, err)
	}
	defer freeSlot()
	conn, err := s.acquire(ctx)
	if err != nil {
		return 0, storeFailed(ctx, err)
	}
	defer conn.Release() // does nothing after a Hijack
	t := &transaction{sql: sql, conn: conn, key: []byte(key), lock: lockOf(key)}
	defer t.rollback(ctx) // does nothing after a commit; also after a panic or runtime.Goexit
	state, err := t.begin(ctx)
	if err != nil {
		return 0, storeFailed(ctx, err)
	}
	if state != geminihook.Acquired {
		return state, nil
	}
	fnErr := t.call(ctx, fn, freeSlot)
	return geminihook.Acquired, t.end(ctx, fnErr, keep)
}

// slot waits until another transaction may run.
func (s *Store) slot(ctx context.Context) (free func(), err error) {
	maxConns := s.pool.Stat().MaxConns()
	s.slotsOnce.Do(func() {
		n := s.MaxTransactions
		if n == 0 {
			n = max(1, int(maxConns)-1)
		}
		s.slots = make(chan struct{}, n)
	})
	select {
	case s.slots <- struct{}{}:
		return sync.OnceFunc(func() { <-s.slots }), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waited for one of the %d transactions that may run at a time, with %d connections in the pool: "+
			"raise its MaxConns, or Store.MaxTransactions: %w", cap(s.slots), maxConns, ctx.Err())
	}
}

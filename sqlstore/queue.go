package sqlstore

import (
	"container/list"
	"context"
	"database/sql"
	"fmt"
	"math"
	"sync"
)

// maxWaiting is how many claims and transactions may wait for the writer.
const maxWaiting = 1000

// queue makes the writers of one Store wait for each other. A busy timeout alone
// would be unfair and would not end with the context.
//
// Calls that end or extend a claim are few, bounded by the claims that were
// granted, and must not be late, so they go first.
//
// A transaction leaves its connection to the next one, because the pages that another
// connection has in its cache are out of date.
type queue struct {
	mu     sync.Mutex
	busy   bool      // somebody writes
	first  list.List // of turns of calls that end or extend a claim
	others list.List // of turns of claims and transactions
}

// turn receives the connection of the one that leaves, or nil, when it is the turn of
// the one that waits.
type turn chan *sql.Conn

// enter waits its turn to write a claim.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	return q.withoutConnection(q.wait(ctx, &q.others, maxWaiting))
}

// enterFirst waits its turn to write what must not be late, ahead of those in enter.
func (q *queue) enterFirst(ctx context.Context) (leave func(), err error) {
	return q.withoutConnection(q.wait(ctx, &q.first, math.MaxInt))
}

// enterTransaction waits its turn to run a transaction. It returns the connection of
// the transaction before it, or nil.
func (q *queue) enterTransaction(ctx context.Context) (*sql.Conn, error) {
	return q.wait(ctx, &q.others, maxWaiting)
}

// withoutConnection gives a connection back to the pool that the caller does not use.
func (q *queue) withoutConnection(conn *sql.Conn, err error) (leave func(), _ error) {
	if err != nil {
		return nil, err
	}
	if conn != nil {
		_ = conn.Close()
	}
	return func() { q.leave(nil) }, nil
}

func (q *queue) wait(ctx context.Context, waiting *list.List, atMost int) (*sql.Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	q.mu.Lock()
	if !q.busy {
		q.busy = true
		q.mu.Unlock()
		return nil, nil
	}
	if waiting.Len() >= atMost {
		q.mu.Unlock()
		return nil, fmt.Errorf("%d claims and transactions wait for the writer already", atMost)
	}
	mine := make(turn, 1)
	place := waiting.PushBack(mine)
	q.mu.Unlock()
	select {
	case conn := <-mine:
		return conn, nil
	case <-ctx.Done():
		q.giveUp(waiting, place, mine)
		return nil, fmt.Errorf("waited for the writer: %w", context.Cause(ctx))
	}
}

// giveUp leaves the place in the queue, or gives up the turn if it has come meanwhile.
func (q *queue) giveUp(waiting *list.List, place *list.Element, mine turn) {
	q.mu.Lock()
	waiting.Remove(place) // does nothing if it is not there
	q.mu.Unlock()
	select {
	case conn := <-mine:
		q.leave(conn)
	default:
	}
}

// leave lets the next one write, and hands the connection over to it. If nobody
// waits, the connection goes back to the pool. It may be nil.
func (q *queue) leave(conn *sql.Conn) {
	if q.next(conn) || conn == nil {
		return
	}
	_ = conn.Close()
}

// next reports whether somebody waited.
func (q *queue) next(conn *sql.Conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, waiting := range []*list.List{&q.first, &q.others} {
		if place := waiting.Front(); place != nil {
			waiting.Remove(place).(turn) <- conn
			return true
		}
	}
	q.busy = false
	return false
}

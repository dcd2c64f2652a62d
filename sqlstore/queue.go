package sqlstore

import (
	"context"
	"fmt"
	"sync/atomic"
)

// maxWaiting is how many claims and transactions may wait for the writer.
const maxWaiting = 1000

// queue makes the writers of one Store wait for each other. A busy timeout alone
// would be unfair and would not end with the context.
//
// Calls that end or extend a claim are few, bounded by the claims that were
// granted, and must not be late. They wait for the writer alone, whereas claims
// and transactions first wait for the one place behind the writer: so at most
// one of them is ahead of a call that ends a claim.
type queue struct {
	waiting atomic.Int64
	place   chan struct{} // holds a value while a claim or transaction waits for the writer
	writer  chan struct{} // holds a value while somebody writes
}

func newQueue() *queue {
	return &queue{place: make(chan struct{}, 1), writer: make(chan struct{}, 1)}
}

// enter waits its turn to write a claim or to run a transaction.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	defer q.waiting.Add(-1)
	// The one that writes does not wait, and is not counted.
	if q.waiting.Add(1) > maxWaiting {
		return nil, fmt.Errorf("%d claims and transactions wait for the writer already", maxWaiting)
	}
	if err := take(ctx, q.place); err != nil {
		return nil, err
	}
	defer func() { <-q.place }()
	return q.enterFirst(ctx)
}

// enterFirst waits for the writer, ahead of all but one of those in enter.
func (q *queue) enterFirst(ctx context.Context) (leave func(), err error) {
	if err := take(ctx, q.writer); err != nil {
		return nil, err
	}
	return func() { <-q.writer }, nil
}

// take puts a value into the channel. It fails if the context has ended, even
// if there is room.
func take(ctx context.Context, c chan struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waited for the writer: %w", context.Cause(ctx))
	}
}

package sqlite_test

import (
	"context"
	"crypto/rand"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crowd is a writer at work, and others that wait for it.
type crowd struct {
	proceed chan struct{} // each value lets one function return
	ended   chan error    // each value is a transaction that ended
}

// gather starts n transactions and waits until no more can happen.
func gather(ctx context.Context, store *sqlstore.Store, prefix string, n int) *crowd {
	c := &crowd{proceed: make(chan struct{}, n), ended: make(chan error, n)}
	for i := range n {
		go func() {
			fn := func(context.Context) error {
				<-c.proceed
				return nil
			}
			_, err := store.Transact(ctx, prefix+strconv.Itoa(i), time.Hour, fn)
			c.ended <- err
		}()
	}
	synctest.Wait()
	return c
}

// TestQueueWaits tests that transactions wait as long as their context allows,
// and no longer than that.
func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, db := newStore(t)
		defer func() { _ = db.Close() }()
		const n = 64
		c := gather(t.Context(), store, "msg_", n)
		impatient, cancel := context.WithTimeoutCause(t.Context(), time.Minute, assert.AnError)
		defer cancel()
		_, err := store.Transact(impatient, "msg_impatient", time.Hour, nil)
		require.ErrorIs(t, err, geminihook.ErrStore)
		require.ErrorIs(t, err, assert.AnError, "the cause")
		require.ErrorContains(t, err, "waited for the writer")
		for range n {
			c.proceed <- struct{}{}
			require.NoError(t, <-c.ended)
		}
	})
}

// TestQueueIsBounded tests that one more than 1,000 fail at once, and
// that what ends a claim is not refused.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, db := newStore(t)
		defer func() { _ = db.Close() }()
		_, err := store.Claim(t.Context(), "msg_held", "token", time.Minute, time.Hour)
		require.NoError(t, err)
		first := gather(t.Context(), store, "first_", 1)
		rest := gather(t.Context(), store, "msg_", 1000)
		_, err = store.Claim(t.Context(), "msg_claim", rand.Text(), time.Minute, time.Hour)
		require.ErrorContains(t, err, "1000 claims and transactions wait")
		_, err = store.Transact(t.Context(), "msg_transact", time.Hour, nil)
		require.ErrorIs(t, err, geminihook.ErrStore)
		require.ErrorContains(t, err, "1000 claims and transactions wait")
		completed := make(chan error, 1)
		go func() { completed <- store.Complete(t.Context(), "msg_held", "token", time.Hour) }()
		synctest.Wait()
		first.proceed <- struct{}{}
		for range 1000 {
			rest.proceed <- struct{}{}
			require.NoError(t, <-rest.ended)
		}
		require.NoError(t, <-completed)
	})
}

// TestQueueCompletesFirst tests that a call that ends a claim has no transaction ahead
// of it but the one that runs.
func TestQueueCompletesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, db := newStore(t)
		defer func() { _ = db.Close() }()
		_, err := store.Claim(t.Context(), "msg_held", "token", time.Minute, time.Hour)
		require.NoError(t, err)
		c := gather(t.Context(), store, "msg_", 20)
		completed := make(chan error, 1)
		go func() { completed <- store.Complete(t.Context(), "msg_held", "token", time.Hour) }()
		synctest.Wait()
		assert.Empty(t, completed)
		c.proceed <- struct{}{}
		synctest.Wait()
		require.Len(t, completed, 1)
		require.NoError(t, <-completed)
		for range 19 {
			c.proceed <- struct{}{}
		}
		for range 20 {
			require.NoError(t, <-c.ended)
		}
	})
}

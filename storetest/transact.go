package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// transact runs fn through the handle, and says whether fn ran.
func transact(ctx context.Context, store geminihook.Store, key string, keep time.Duration, fn func(context.Context) error) (
	state geminihook.State, ran bool, err error,
) {
	state, err = store.(geminihook.Transactor).Transact(ctx, key, keep, func(ctx context.Context) error {
		ran = true
		return fn(ctx)
	})
	return state, ran, err
}

func succeed(context.Context) error { return nil }

// runs: the key is free, fn runs and is committed.
func (h *harness) runs(store geminihook.Store, key string, keep time.Duration) {
	h.Helper()
	state, ran, err := transact(h.Context(), store, key, keep, succeed)
	require.NoError(h, err)
	require.Equal(h, geminihook.Acquired, state)
	require.True(h, ran, "the function ran")
}

// runsNot: fn does not run, for the key is in that state.
func (h *harness) runsNot(want geminihook.State, store geminihook.Store, key string) {
	h.Helper()
	state, ran, err := transact(h.Context(), store, key, long, succeed)
	require.NoError(h, err)
	require.Equal(h, want, state)
	require.False(h, ran, "the function must not run")
}

func transactCommits(h *harness) {
	h.runs(h.first, key, long)
	h.runsNot(geminihook.Done, h.first, key)
	h.runsNot(geminihook.Done, h.second, key)
	h.runs(h.second, key+"2", long)
}

func transactError(h *harness) {
	state, ran, err := transact(h.Context(), h.first, key, long, func(context.Context) error { return errOwn })
	require.ErrorIs(h, err, errOwn)
	require.NotErrorIs(h, err, geminihook.ErrStore, "the function failed, not the store")
	assert.Equal(h, geminihook.Acquired, state)
	assert.True(h, ran)
	h.runs(h.second, key, long)
}

func transactPanic(h *harness) {
	assert.PanicsWithValue(h, "its own", func() {
		_, _, _ = transact(h.Context(), h.first, key, long, func(context.Context) error { panic("its own") })
	}, "the panic goes on")
	h.runs(h.second, key, long)
}

func transactPermanent(h *harness) {
	state, ran, err := transact(h.Context(), h.first, key, long, func(context.Context) error {
		return geminihook.Permanent(errOwn)
	})
	require.ErrorIs(h, err, geminihook.ErrPermanent)
	require.ErrorIs(h, err, errOwn)
	assert.Equal(h, geminihook.Acquired, state)
	assert.True(h, ran)
	h.runsNot(geminihook.Done, h.second, key)
}

func transactRaces(h *harness) {
	const racers = 16
	var runs atomic.Int64
	states := make([]geminihook.State, racers)
	errs := make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		store := h.first
		if i%2 == 1 {
			store = h.second
		}
		all.Go(func() {
			for states[i] = geminihook.InProgress; states[i] == geminihook.InProgress && errs[i] == nil; {
				states[i], _, errs[i] = transact(h.Context(), store, key, long, func(context.Context) error {
					runs.Add(1)
					time.Sleep(step) // so that others come meanwhile
					return nil
				})
			}
		})
	}
	all.Wait()
	count := map[geminihook.State]int{}
	for i, state := range states {
		require.NoError(h, errs[i])
		count[state]++
	}
	assert.EqualValues(h, 1, runs.Load(), "runs")
	assert.Equal(h, map[geminihook.State]int{geminihook.Acquired: 1, geminihook.Done: racers - 1}, count)
}

func transactDoesNotWait(h *harness) {
	_, _, err := transact(h.Context(), h.first, key, long, func(context.Context) error {
		ctx, cancel := context.WithTimeout(h.Context(), limit/6)
		defer cancel()
		state, ran, err := transact(ctx, h.second, key, long, succeed)
		if err == nil && (ran || state != geminihook.InProgress) {
			err = errors.New("a second run began while the first was in progress")
		}
		return errors.Join(err, ctx.Err())
	})
	require.NoError(h, err, "the second must be answered while the first runs")
	h.runsNot(geminihook.Done, h.second, key)
}

func transactDoneEnds(h *harness) {
	began := h.now()
	h.runs(h.first, key, short)
	for end := h.now() + limit; h.now() < end; h.pass(step) {
		state, ran, err := transact(h.Context(), h.second, key, long, succeed)
		require.NoError(h, err)
		if ran {
			assert.Equal(h, geminihook.Acquired, state)
			assert.GreaterOrEqual(h, h.now()-began, short, "it was forgotten before keep had passed")
			return
		}
		require.Equal(h, geminihook.Done, state)
	}
	require.FailNow(h, "the key did not become free")
}

func transactRespectsClaims(h *harness) {
	c := h.acquired(h.first, key, long)
	h.runsNot(geminihook.InProgress, h.second, key)
	require.NoError(h, h.first.Release(h.Context(), key, c.Token))
	h.runs(h.second, key, long)
	assert.Equal(h, geminihook.Done, h.state(h.first, key))
	lost(h, h.first.Complete(h.Context(), key, c.Token, long), "a claim from before")

	c = h.acquired(h.first, key+"2", long)
	require.NoError(h, h.first.Complete(h.Context(), key+"2", c.Token, long))
	h.runsNot(geminihook.Done, h.second, key+"2")

	c = h.acquired(h.first, key+"3", short)
	h.pass(2 * short)
	h.runs(h.second, key+"3", long)
	lost(h, h.first.Complete(h.Context(), key+"3", c.Token, long), "a lease that has run out, and another took over")
}

// transactRespected: a claim may wait for the transaction until its context
// ends, but never wins against it.
func transactRespected(h *harness) {
	_, _, err := transact(h.Context(), h.first, key, long, func(context.Context) error {
		ctx, cancel := context.WithTimeout(h.Context(), 2*short)
		defer cancel()
		c, err := h.second.Claim(ctx, key, long, long)
		if err == nil && c.State != geminihook.InProgress {
			return errors.New("the claim was answered as if nothing ran")
		}
		return nil
	})
	require.NoError(h, err)
	assert.Equal(h, geminihook.Done, h.state(h.second, key))
}

func transactHostileKeys(h *harness) {
	for _, k := range keys() {
		h.runs(h.first, k, long)
	}
	for _, k := range keys() {
		h.runsNot(geminihook.Done, h.second, k)
	}
}

func transactCancelled(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	_, ran, err := transact(ctx, h.first, key, long, succeed)
	failed(h.T, err)
	assert.False(h, ran)
	h.runs(h.first, key, long)
}

// transactCancelledInside: the deadline of a run ends it, and its transaction.
func transactCancelledInside(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	defer cancel()
	_, ran, err := transact(ctx, h.first, key, long, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	require.Error(h, err)
	assert.True(h, ran)
	h.runs(h.second, key, long)

	ctx, cancel = context.WithCancel(h.Context())
	defer cancel()
	state, _, err := transact(ctx, h.first, key+"2", long, func(context.Context) error {
		cancel()
		return nil // it has not noticed
	})
	if err == nil { // it was committed all the same
		assert.Equal(h, geminihook.Acquired, state)
		h.runsNot(geminihook.Done, h.second, key+"2")
		return
	}
	require.ErrorIs(h, err, geminihook.ErrStore, "what could not be committed")
	h.runs(h.second, key+"2", long)
}

func transactGone(t *testing.T, store geminihook.Store) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		state, ran, err := transact(ctx, store, key, long, succeed)
		if ran || state == geminihook.Done || !errors.Is(err, geminihook.ErrStore) {
			t.Errorf("Transact of a store that is gone: state %d, ran %t, %v: want ErrStore and no run", state, ran, err)
		}
	}()
	select {
	case <-ended:
	case <-time.After(limit):
		require.FailNow(t, "a store that is gone must answer when its context ends")
	}
}

package storetest

import (
	"context"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newKey(h *harness) {
	c := h.acquired(h.first, key, long)
	assert.Equal(h, 1, c.Attempt)
	assert.Zero(h, c.RetryIn)
}

func whileInProgress(h *harness) {
	h.acquired(h.first, key, long)
	for range 2 {
		c := h.claim(h.second, key, long, long)
		require.Equal(h, geminihook.InProgress, c.State)
		assert.Empty(h, c.Token, "only who holds the key has a token")
		assert.Positive(h, c.RetryIn)
		assert.LessOrEqual(h, c.RetryIn, long)
	}
}

// race claims the key from many goroutines at once, through both handles.
func (h *harness) race(key string, lease time.Duration) (states map[geminihook.State]int, winner geminihook.Claim) {
	const racers = 16
	claims := make([]geminihook.Claim, racers)
	errs := make([]error, racers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range racers {
		store := h.first
		if i%2 == 1 {
			store = h.second
		}
		all.Go(func() {
			<-start
			claims[i], errs[i] = store.Claim(h.Context(), key, lease, long)
		})
	}
	close(start)
	all.Wait()
	states = map[geminihook.State]int{}
	for i, c := range claims {
		require.NoError(h, errs[i])
		states[c.State]++
		if c.State == geminihook.Acquired {
			winner = c
		}
	}
	return states, winner
}

// oneWinner: of a new key, of a released one, and of one whose lease has run
// out.
func oneWinner(h *harness) {
	want := map[geminihook.State]int{geminihook.Acquired: 1, geminihook.InProgress: 15}
	for round := range 5 {
		k := key + string(rune('a'+round))
		states, c := h.race(k, long)
		require.Equal(h, want, states, "a new key")
		require.NoError(h, h.first.Release(h.Context(), k, c.Token))
		states, again := h.race(k, long)
		require.Equal(h, want, states, "a released key")
		require.Equal(h, 2, again.Attempt)
		require.NotEqual(h, c.Token, again.Token, "each claim has a token of its own")

		h.acquired(h.first, k+"'", short)
		h.pass(2 * short)
		states, _ = h.race(k+"'", long)
		require.Equal(h, want, states, "a key whose lease has run out")
	}
}

func keysApart(h *harness) {
	one, other := h.acquired(h.first, key, long), h.acquired(h.first, key+"2", long)
	assert.NotEqual(h, one.Token, other.Token)
	require.NoError(h, h.first.Complete(h.Context(), key, one.Token, long))
	assert.Equal(h, geminihook.Done, h.state(h.first, key))
	assert.Equal(h, geminihook.InProgress, h.state(h.first, key+"2"))
	lost(h, h.first.Complete(h.Context(), key+"2", one.Token, long), "the token of another key")
	lost(h, h.first.Release(h.Context(), key+"2", one.Token), "the token of another key")
	assert.Equal(h, geminihook.InProgress, h.state(h.first, key+"2"))
}

func takeover(h *harness) {
	began := h.now()
	first := h.acquired(h.first, key, short)
	second, ended := h.afterwards(h.second, key)
	assert.GreaterOrEqual(h, ended-began, short, "it was taken over within its lease")
	assert.Equal(h, 2, second.Attempt)
	assert.NotEqual(h, first.Token, second.Token)
	assert.Equal(h, geminihook.InProgress, h.state(h.first, key))
}

func staleToken(h *harness) {
	first := h.acquired(h.first, key, short)
	second, _ := h.afterwards(h.second, key)
	lost(h, h.first.Complete(h.Context(), key, first.Token, long), "Complete after a takeover")
	lost(h, h.first.Release(h.Context(), key, first.Token), "Release after a takeover")
	assert.Equal(h, geminihook.InProgress, h.state(h.first, key), "the one who took over still holds it")
	require.NoError(h, h.second.Complete(h.Context(), key, second.Token, long))
	lost(h, h.first.Complete(h.Context(), key, first.Token, long), "Complete after another's Complete")
	lost(h, h.first.Release(h.Context(), key, first.Token), "Release after another's Complete")
	assert.Equal(h, geminihook.Done, h.state(h.first, key))
}

func wrongToken(h *harness) {
	for _, token := range []string{"", "0", "1", "-1", "x", "00000000-0000-0000-0000-000000000000", "\x00", "'", "\xff"} {
		lost(h, h.first.Complete(h.Context(), key, token, long), "Complete of an unknown key")
		lost(h, h.first.Release(h.Context(), key, token), "Release of an unknown key")
	}
	assert.Equal(h, 1, h.acquired(h.first, key, long).Attempt, "they did not make the key known")
	for _, token := range []string{"", "0", "-1", "x", "00000000-0000-0000-0000-000000000000", "\x00", "'", "\xff"} {
		lost(h, h.first.Complete(h.Context(), key, token, long), "Complete with a wrong token")
		lost(h, h.first.Release(h.Context(), key, token), "Release with a wrong token")
	}
	assert.Equal(h, geminihook.InProgress, h.state(h.first, key))
}

func lateComplete(h *harness) {
	c := h.acquired(h.first, key, short)
	h.pass(2 * short)
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, long), "the lease is over, and nobody took it")
	assert.Equal(h, geminihook.Done, h.state(h.second, key))
}

func completeTwice(h *harness) {
	c := h.acquired(h.first, key, long)
	for range 2 { // the answer to the first may have been lost
		require.NoError(h, h.first.Complete(h.Context(), key, c.Token, long))
	}
	assert.Equal(h, geminihook.Done, h.state(h.second, key))
}

func release(h *harness) {
	first := h.acquired(h.first, key, long)
	require.NoError(h, h.first.Release(h.Context(), key, first.Token))
	lost(h, h.first.Complete(h.Context(), key, first.Token, long), "Complete after Release")
	lost(h, h.first.Release(h.Context(), key, first.Token), "Release after Release")
	for attempt := 2; attempt < 5; attempt++ {
		c := h.acquired(h.second, key, long)
		assert.Equal(h, attempt, c.Attempt, "Release keeps the count")
		assert.NotEqual(h, first.Token, c.Token)
		lost(h, h.first.Release(h.Context(), key, first.Token), "the first token, after another claim")
		require.NoError(h, h.second.Release(h.Context(), key, c.Token))
	}
}

func releaseAfterComplete(h *harness) {
	c := h.acquired(h.first, key, long)
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, long))
	lost(h, h.first.Release(h.Context(), key, c.Token), "Release after Complete")
	assert.Equal(h, geminihook.Done, h.state(h.first, key))
}

func doneOutlivesLease(h *harness) {
	c := h.claim(h.first, key, short, short)
	require.Equal(h, geminihook.Acquired, c.State)
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, long))
	h.pass(3 * short)
	assert.Equal(h, geminihook.Done, h.state(h.second, key), "the keep of Complete counts, not that of Claim")
}

func doneEnds(h *harness) {
	c := h.acquired(h.first, key, long)
	began := h.now()
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, short))
	again, ended := h.afterwards(h.second, key)
	assert.GreaterOrEqual(h, ended-began, short, "it was forgotten before keep had passed")
	assert.Equal(h, 1, again.Attempt, "it was forgotten, the count too")
	lost(h, h.first.Release(h.Context(), key, c.Token), "a token from before it was forgotten")
}

func doneNeverClaimed(h *harness) {
	c := h.acquired(h.first, key, long)
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, long))
	states, _ := h.race(key, long)
	assert.Equal(h, map[geminihook.State]int{geminihook.Done: 16}, states)
	again := h.claim(h.first, key, long, long)
	assert.Empty(h, again.Token)
}

func longKeep(h *harness) {
	const century = 100 * 365 * 24 * time.Hour
	c := h.claim(h.first, key, century, century)
	require.Equal(h, geminihook.Acquired, c.State)
	require.Equal(h, geminihook.InProgress, h.claim(h.second, key, century, century).State)
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, century))
	assert.Equal(h, geminihook.Done, h.claim(h.second, key, century, century).State)
}

func leaseLongerThanKeep(h *harness) {
	c := h.claim(h.first, key, long, time.Millisecond)
	require.Equal(h, geminihook.Acquired, c.State)
	h.pass(short)
	assert.Equal(h, geminihook.InProgress, h.state(h.second, key), "a key is not forgotten while its lease runs")
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, long))
}

// subSecondLease: a store that counts in seconds rounds it up or down.
func subSecondLease(h *harness) {
	const lease = 400 * time.Millisecond
	for range 100 {
		k := key + time.Now().String()
		began := time.Now()
		h.acquired(h.first, k, lease)
		c := h.claim(h.second, k, lease, long)
		if time.Since(began) >= lease {
			continue // too slow a machine to tell
		}
		require.Equal(h, geminihook.InProgress, c.State, "rounded down")
		require.LessOrEqual(h, c.RetryIn, lease, "rounded up")
		return
	}
	require.FailNow(h, "two claims never took less than the lease")
}

func twoHandles(h *harness) {
	c := h.acquired(h.first, key, long)
	assert.Equal(h, geminihook.InProgress, h.state(h.second, key))
	require.NoError(h, h.second.Release(h.Context(), key, c.Token))
	c = h.acquired(h.second, key, long)
	assert.Equal(h, geminihook.InProgress, h.state(h.first, key))
	require.NoError(h, h.first.Complete(h.Context(), key, c.Token, long))
	assert.Equal(h, geminihook.Done, h.state(h.second, key))
}

func cancelled(h *harness) {
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	c, err := h.first.Claim(ctx, key, long, long)
	failed(h.T, err)
	assert.Zero(h, c)
	c = h.acquired(h.first, key, long)
	assert.Equal(h, 1, c.Attempt, "a claim whose context has ended does nothing")
	failed(h.T, h.first.Complete(ctx, key, c.Token, long))
	failed(h.T, h.first.Release(ctx, key, c.Token))
	assert.Equal(h, geminihook.InProgress, h.state(h.first, key))
}

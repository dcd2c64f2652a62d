package geminihook_test

import (
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// setWallClock returns t as time.Now would have returned it if the machine's
// clock had been set by d: with another wall clock reading and the same reading
// of the monotonic clock. Only time.Now can do that, so it is done to t's
// memory, whose first word counts seconds from bit 30.
func setWallClock(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(d/time.Second) << 30
	return t
}

func TestSetWallClock(t *testing.T) {
	now := time.Now()
	for _, d := range []time.Duration{time.Hour, -time.Hour} {
		set := setWallClock(now, d)
		require.Equal(t, now.Unix()+int64(d/time.Second), set.Unix())
		require.Zero(t, set.Sub(now), "the monotonic clock decides")
	}
}

// borrowed returns a text and the memory that it shares, as adapters do that
// reuse the memory of a request.
func borrowed(text string) (string, []byte) {
	memory := []byte(text)
	return unsafe.String(&memory[0], len(memory)), memory
}

// TestMemoryStoreMonotonic tests that setting the machine's clock during a run
// neither ends the lease nor makes it longer. The clock cannot be synctest's,
// which has no monotonic reading.
func TestMemoryStoreMonotonic(t *testing.T) {
	busy := func(retryIn time.Duration) geminihook.Claim {
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: retryIn}
	}
	again := geminihook.Claim{State: geminihook.Acquired, Attempt: 2}
	for _, set := range []time.Duration{0, 61 * time.Second, 48 * time.Hour, -time.Hour} {
		t.Run(set.String(), func(t *testing.T) {
			m := newMemoryTest(t, 0)
			m.clock.now = time.Now() // with its monotonic reading
			first := m.acquire("x")
			m.clock.now = setWallClock(m.clock.now, set)
			assert.Equal(t, busy(time.Minute), m.claim("x"))
			m.clock.advance(59 * time.Second)
			assert.Equal(t, busy(time.Second), m.claim("x"))
			m.clock.advance(time.Second)
			second := m.claimFor("x", "second", time.Minute)
			assert.Equal(t, again, second, "the key was not forgotten")
			err := m.store.Complete(t.Context(), "x", first, time.Hour)
			require.ErrorIs(t, err, geminihook.ErrLeaseLost)
			require.NoError(t, m.store.Complete(t.Context(), "x", "second", time.Hour))
			m.clock.now = setWallClock(m.clock.now, -2*set)
			assert.Equal(t, geminihook.Done, m.claim("x").State)
			m.clock.advance(time.Hour)
			assert.Equal(t, geminihook.Acquired, m.claim("x").State)
		})
	}
}

// TestMemoryStoreNow tests that without Now, the machine's clock decides.
func TestMemoryStoreNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memoryTest{t: t, store: &geminihook.MemoryStore{}}
		assert.Equal(t, geminihook.Acquired, m.claim("x").State)
		<-time.After(time.Minute - 1)
		assert.Equal(t, geminihook.InProgress, m.claim("x").State)
		<-time.After(1)
		assert.Equal(t, geminihook.Acquired, m.claim("x").State)
	})
}

// TestMemoryStoreClockSetBack tests that a clock without monotonic readings
// decides by itself.
func TestMemoryStoreClockSetBack(t *testing.T) {
	m := newMemoryTest(t, 0)
	first := m.acquire("x")
	m.clock.advance(-time.Hour)
	assert.Equal(t, geminihook.InProgress, m.claim("x").State)
	m.clock.advance(time.Hour + time.Minute)
	assert.Equal(t, geminihook.Acquired, m.claim("x").State)
	require.ErrorIs(t, m.store.Release(t.Context(), "x", first), geminihook.ErrLeaseLost)
}

func TestMemoryStoreFarFuture(t *testing.T) {
	const longest = time.Duration(1<<63 - 1)
	m := newMemoryTest(t, 0)
	_, err := m.store.Claim(t.Context(), "x", "token", longest, longest)
	require.NoError(t, err)
	assert.Equal(t, geminihook.InProgress, m.claim("x").State)
	require.NoError(t, m.store.Renew(t.Context(), "x", "token", longest))
	assert.Equal(t, geminihook.InProgress, m.claim("x").State)
	require.NoError(t, m.store.Complete(t.Context(), "x", "token", longest))
	assert.Equal(t, geminihook.Done, m.claim("x").State)
}

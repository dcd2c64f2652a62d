package geminihook_test

import (
	"fmt"
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

// TestLeaseMonotonic: setting the machine's clock during a run neither ends the
// lease nor makes it longer. The clock cannot be synctest's, which has no
// monotonic reading.
func TestLeaseMonotonic(t *testing.T) {
	for _, set := range []time.Duration{0, 61 * time.Second, 48 * time.Hour, -time.Hour} {
		t.Run(set.String(), func(t *testing.T) {
			clock := &testClock{now: time.Now()} // with its monotonic reading
			m := &geminihook.MemoryStore{Now: clock.Now}
			claim := func() geminihook.Claim {
				c, err := m.Claim(t.Context(), "x", time.Minute, time.Hour)
				require.NoError(t, err)
				return c
			}
			first := claim()
			clock.now = setWallClock(clock.now, set)
			assert.Equal(t, geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Minute}, claim())
			clock.advance(59 * time.Second)
			assert.Equal(t, geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Second}, claim())
			clock.advance(time.Second)
			second := claim()
			assert.Equal(t, geminihook.Acquired, second.State)
			assert.Equal(t, 2, second.Attempt, "the key was not forgotten either")
			require.ErrorIs(t, m.Complete(t.Context(), "x", first.Token, time.Hour), geminihook.ErrLeaseLost)
			require.NoError(t, m.Complete(t.Context(), "x", second.Token, time.Hour))
			clock.now = setWallClock(clock.now, -2*set)
			assert.Equal(t, geminihook.Done, claim().State)
			clock.advance(time.Hour)
			assert.Equal(t, geminihook.Acquired, claim().State)
		})
	}
}

// TestLeaseOfMachine: without Now, the lease goes by the machine's clock.
func TestLeaseOfMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &geminihook.MemoryStore{}
		state := func() geminihook.State {
			c, err := m.Claim(t.Context(), "x", time.Minute, time.Hour)
			require.NoError(t, err)
			return c.State
		}
		assert.Equal(t, geminihook.Acquired, state())
		letPass(time.Minute - 1)
		assert.Equal(t, geminihook.InProgress, state())
		letPass(1)
		assert.Equal(t, geminihook.Acquired, state())
	})
}

// TestInjectedClock: a clock without monotonic readings decides by itself.
func TestInjectedClock(t *testing.T) {
	m := newMemoryTest(t, 0)
	first := m.claim("x")
	m.clock.advance(-time.Hour)
	back := m.claim("x")
	assert.Equal(t, geminihook.InProgress, back.State)
	m.clock.advance(time.Hour + time.Minute)
	assert.Equal(t, geminihook.Acquired, m.claim("x").State)
	require.ErrorIs(t, m.Release(t.Context(), "x", first.Token), geminihook.ErrLeaseLost)
}

// TestEvictsLapsed: a lease that has expired makes room wherever it stands among
// longer ones.
func TestEvictsLapsed(t *testing.T) {
	const entries = 10
	for lapsed := range entries {
		t.Run(fmt.Sprint("number ", lapsed), func(t *testing.T) {
			m := newMemoryTest(t, entries)
			for i := range entries {
				lease := time.Hour
				if i == lapsed {
					lease = time.Minute
				}
				_, err := m.Claim(t.Context(), fmt.Sprint(i), lease, time.Hour)
				require.NoError(t, err)
			}
			m.full("too early")
			m.clock.advance(time.Minute)
			assert.Equal(t, geminihook.Acquired, m.claim("new").State)
			for i := range entries {
				if i != lapsed {
					assert.Equal(t, geminihook.InProgress, m.claim(fmt.Sprint(i)).State, "%d", i)
				}
			}
			m.full("no other")
		})
	}
	t.Run("nine of ten", func(t *testing.T) {
		m := newMemoryTest(t, entries)
		_, err := m.Claim(t.Context(), "long", time.Hour, time.Hour)
		require.NoError(t, err)
		for i := range entries - 1 {
			m.claim(fmt.Sprint(i))
		}
		m.clock.advance(time.Minute)
		for i := range entries - 1 {
			assert.Equal(t, geminihook.Acquired, m.claim(fmt.Sprint("new ", i)).State, "%d", i)
		}
		m.full("no room is left")
		assert.Equal(t, geminihook.InProgress, m.claim("long").State)
	})
}

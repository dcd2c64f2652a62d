package geminihook_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// memoryTest is a MemoryStore and what a test does with it.
type memoryTest struct {
	*testing.T
	geminihook.MemoryStore
	clock *testClock
}

func newMemoryTest(t *testing.T, entries int) *memoryTest {
	m := &memoryTest{T: t, clock: &testClock{now: at}}
	m.MaxEntries, m.MemoryStore.Now = entries, m.clock.Now
	return m
}

func (m *memoryTest) claim(key string) geminihook.Claim {
	m.Helper()
	c, err := m.Claim(m.Context(), key, time.Minute, time.Hour)
	require.NoError(m, err)
	m.clock.advance(time.Millisecond) // so that each is older than the next
	return c
}

func (m *memoryTest) done(key string) {
	m.Helper()
	require.NoError(m, m.Complete(m.Context(), key, m.claim(key).Token, time.Hour))
}

func (m *memoryTest) full(key string) {
	m.Helper()
	_, err := m.Claim(m.Context(), key, time.Minute, time.Hour)
	require.ErrorContains(m, err, "full")
	require.NotErrorIs(m, err, geminihook.ErrLeaseLost)
}

func TestMemoryStoreEvicts(t *testing.T) {
	t.Run("the oldest done first", func(t *testing.T) {
		m := newMemoryTest(t, 50)
		for i := range 50 {
			m.done(strconv.Itoa(i))
		}
		for i := range 25 {
			m.claim("new " + strconv.Itoa(i))
		}
		for i := 25; i < 50; i++ {
			assert.Equal(t, geminihook.Done, m.claim(strconv.Itoa(i)).State, "%d", i)
		}
		c := m.claim("0")
		assert.Equal(t, geminihook.Acquired, c.State)
		assert.Equal(t, 1, c.Attempt)
	})
	t.Run("never one in progress, then errors", func(t *testing.T) {
		m := newMemoryTest(t, 3)
		held := []geminihook.Claim{m.claim("a"), m.claim("b"), m.claim("c")}
		m.full("d")
		assert.Equal(t, geminihook.InProgress, m.claim("a").State, "what is known needs no room")
		require.NoError(t, m.Complete(t.Context(), "b", held[1].Token, time.Hour))
		assert.Equal(t, geminihook.Acquired, m.claim("d").State)
		m.full("b")
		require.NoError(t, m.Complete(t.Context(), "a", held[0].Token, time.Hour))
		require.NoError(t, m.Complete(t.Context(), "c", held[2].Token, time.Hour))
	})
	t.Run("a released one before a done one", func(t *testing.T) {
		m := newMemoryTest(t, 2)
		m.done("done")
		require.NoError(t, m.Release(t.Context(), "released", m.claim("released").Token))
		assert.Equal(t, geminihook.Acquired, m.claim("new").State)
		assert.Equal(t, geminihook.Done, m.claim("done").State)
	})
	t.Run("one whose lease is over, as the last resort", func(t *testing.T) {
		m := newMemoryTest(t, 2)
		m.claim("lapsed")
		m.clock.advance(time.Minute)
		m.claim("running")
		assert.Equal(t, geminihook.Acquired, m.claim("new").State)
		m.full("newer")
	})
	t.Run("holds more than by default", func(t *testing.T) {
		const n = 2 * geminihook.DefaultMaxEntries
		m := &geminihook.MemoryStore{MaxEntries: n}
		for i := range n {
			key := strconv.Itoa(i)
			c, err := m.Claim(t.Context(), key, time.Minute, time.Hour)
			if err != nil || m.Complete(t.Context(), key, c.Token, time.Hour) != nil {
				t.Fatalf("%s: %v", key, err)
			}
		}
		for i := range n {
			if c, _ := m.Claim(t.Context(), strconv.Itoa(i), time.Minute, time.Hour); c.State != geminihook.Done {
				t.Fatalf("%d is forgotten", i)
			}
		}
	})
	t.Run("100,000 by default", func(t *testing.T) {
		m := newMemoryTest(t, 0)
		for i := range geminihook.DefaultMaxEntries {
			m.claim(strconv.Itoa(i))
			m.clock.advance(-time.Millisecond)
		}
		m.full("one more")
	})
}

func TestMemoryStoreExpires(t *testing.T) {
	m := newMemoryTest(t, 1000)
	for i := range 1000 {
		m.done(strconv.Itoa(i))
	}
	m.clock.advance(time.Hour)
	for i := range 1000 {
		c := m.claim(strconv.Itoa(i))
		require.Equal(t, geminihook.Acquired, c.State)
		require.Equal(t, 1, c.Attempt, "what has expired is forgotten")
	}
	m.full("only live entries are left")
}

// TestMemoryStoreForgets what has expired, whatever stands before it in its
// queue, and gives its memory back as other ids come.
func TestMemoryStoreForgets(t *testing.T) {
	m := newMemoryTest(t, 0)
	for i := range 500 {
		m.done("long" + strconv.Itoa(i))
	}
	short := m.claim("short")
	require.NoError(t, m.Complete(t.Context(), "short", short.Token, time.Second))
	m.clock.advance(time.Second)
	again := m.claim("short")
	assert.Equal(t, geminihook.Acquired, again.State)
	assert.Equal(t, 1, again.Attempt)
	assert.Equal(t, geminihook.Done, m.claim("long0").State)

	const n = 50_000
	m.MaxEntries = 10 * n
	fill := func(prefix string) {
		for i := range n {
			m.done(prefix + strconv.Itoa(i))
			m.clock.advance(-time.Millisecond)
		}
	}
	empty := heap()
	fill("first")
	first := heap() - empty
	m.clock.advance(time.Hour + time.Second)
	fill("then")
	assert.Less(t, float64(heap()-empty), 1.3*float64(first))
	runtime.KeepAlive(m)
}

// TestMemoryStoreTokens: a token ends with its claim.
func TestMemoryStoreTokens(t *testing.T) {
	m := newMemoryTest(t, 0)
	released := m.claim("released").Token
	require.NoError(t, m.Release(t.Context(), "released", released))
	require.ErrorIs(t, m.Release(t.Context(), "released", released), geminihook.ErrLeaseLost)
	require.ErrorIs(t, m.Complete(t.Context(), "released", released, time.Hour), geminihook.ErrLeaseLost)

	completed := m.claim("completed").Token
	require.NoError(t, m.Complete(t.Context(), "completed", completed, time.Hour))
	require.NoError(t, m.Complete(t.Context(), "completed", completed, time.Hour), "again, where the first reply was lost")
	require.ErrorIs(t, m.Release(t.Context(), "completed", completed), geminihook.ErrLeaseLost)
	assert.Equal(t, geminihook.Done, m.claim("completed").State)

	for _, token := range []string{"", "0", "x", "-1", "99999999999999999999"} {
		m.claim("other" + token)
		require.ErrorIs(t, m.Complete(t.Context(), "other"+token, token, time.Hour), geminihook.ErrLeaseLost)
	}
}

// TestMemoryStoreKeepsLeases: a keep that is shorter than the lease does not
// let a second run start.
func TestMemoryStoreKeepsLeases(t *testing.T) {
	m := newMemoryTest(t, 0)
	first, err := m.Claim(t.Context(), "x", time.Minute, time.Second)
	require.NoError(t, err)
	m.clock.advance(30 * time.Second)
	assert.Equal(t, geminihook.InProgress, m.claim("x").State)
	require.NoError(t, m.Complete(t.Context(), "x", first.Token, time.Hour))
}

func TestMemoryStoreFarFuture(t *testing.T) {
	m := newMemoryTest(t, 0)
	c, err := m.Claim(t.Context(), "x", 1<<63-1, 1<<63-1)
	require.NoError(t, err)
	assert.Equal(t, geminihook.InProgress, m.claim("x").State)
	require.NoError(t, m.Complete(t.Context(), "x", c.Token, 1<<63-1))
	assert.Equal(t, geminihook.Done, m.claim("x").State)
}

// TestMemoryStoreRace: at the bound, under contention, no key has two holders
// and the bound holds.
func TestMemoryStoreRace(t *testing.T) {
	const keys, workers, rounds = 64, 16, 2000
	m := &geminihook.MemoryStore{MaxEntries: keys / 2}
	var holders [keys]sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				k := (i*7 + w*13) % keys
				key := strconv.Itoa(k)
				c, err := m.Claim(t.Context(), key, time.Hour, time.Hour)
				if err != nil || c.State != geminihook.Acquired {
					continue
				}
				if !holders[k].TryLock() {
					t.Errorf("key %d has two holders", k)
					return
				}
				runtime.Gosched()
				holders[k].Unlock()
				if i%2 == 0 {
					err = m.Release(t.Context(), key, c.Token)
				} else {
					err = m.Complete(t.Context(), key, c.Token, time.Nanosecond)
				}
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}

func TestMemoryStoreContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := &geminihook.MemoryStore{}
	c, err := m.Claim(ctx, "x", time.Minute, time.Hour)
	require.NoError(t, err)
	cancel()
	_, err = m.Claim(ctx, "y", time.Minute, time.Hour)
	require.ErrorIs(t, err, context.Canceled)
	for _, err := range []error{m.Complete(ctx, "x", c.Token, time.Hour), m.Release(ctx, "x", c.Token)} {
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, errors.Is(err, geminihook.ErrLeaseLost))
	}
}

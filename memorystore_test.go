package geminihook_test

import (
	"context"
	"crypto/rand"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// memoryTest is a MemoryStore whose clock the test sets.
type memoryTest struct {
	t     *testing.T
	store *geminihook.MemoryStore
	clock *testClock
}

func newMemoryTest(t *testing.T, maxEntries int) *memoryTest {
	t.Helper()
	clock := &testClock{now: at}
	return &memoryTest{
		t: t, clock: clock,
		store: &geminihook.MemoryStore{MaxEntries: maxEntries, Now: clock.Now},
	}
}

// claimFor claims the key for a lease, to be kept for an hour.
func (m *memoryTest) claimFor(key, token string, lease time.Duration) geminihook.Claim {
	m.t.Helper()
	c, err := m.store.Claim(m.t.Context(), key, token, lease, time.Hour)
	require.NoError(m.t, err)
	return c
}

// claim claims the key for a minute, with a fresh token.
func (m *memoryTest) claim(key string) geminihook.Claim {
	m.t.Helper()
	return m.claimFor(key, rand.Text(), time.Minute)
}

// acquire claims a free key for a minute and returns the token.
func (m *memoryTest) acquire(key string) string {
	m.t.Helper()
	token := rand.Text()
	require.Equal(m.t, geminihook.Acquired, m.claimFor(key, token, time.Minute).State)
	return token
}

// complete claims a free key and completes it.
func (m *memoryTest) complete(key string, keep time.Duration) {
	m.t.Helper()
	require.NoError(m.t, m.store.Complete(m.t.Context(), key, m.acquire(key), keep))
}

// release claims a free key and releases it.
func (m *memoryTest) release(key string) {
	m.t.Helper()
	require.NoError(m.t, m.store.Release(m.t.Context(), key, m.acquire(key)))
}

// requireFull checks that there is no room for the key.
func (m *memoryTest) requireFull(key string) {
	m.t.Helper()
	_, err := m.store.Claim(m.t.Context(), key, rand.Text(), time.Minute, time.Hour)
	require.ErrorContains(m.t, err, "full")
	require.NotErrorIs(m.t, err, geminihook.ErrLeaseLost)
}

func TestMemoryStoreEvicts(t *testing.T) {
	t.Run("what has expired", func(t *testing.T) {
		m := newMemoryTest(t, 3)
		m.complete("a", 7*24*time.Hour)
		m.complete("b", 10*time.Minute)
		m.complete("c", 10*time.Minute)
		m.clock.advance(time.Hour)
		m.acquire("d")
		assert.Equal(t, geminihook.Done, m.claim("a").State)
		m.acquire("b")
		assert.Equal(t, geminihook.Done, m.claim("a").State)
	})
	t.Run("what has expired, whatever its status", func(t *testing.T) {
		m := newMemoryTest(t, 3)
		m.acquire("claimed")
		m.release("released")
		m.clock.advance(time.Minute)
		m.complete("done", 2*time.Hour)
		m.clock.advance(time.Hour - time.Minute)
		for i := range 2 {
			m.acquire("new " + strconv.Itoa(i))
			assert.Equal(t, geminihook.Done, m.claim("done").State)
		}
	})
	t.Run("a released one before a done one", func(t *testing.T) {
		m := newMemoryTest(t, 3)
		m.complete("done", time.Hour)
		m.release("released")
		m.release("released later")
		m.acquire("new")
		assert.Equal(t, geminihook.Done, m.claim("done").State)
		assert.Equal(t, 2, m.claim("released later").Attempt)
	})
	t.Run("the one that has been done longest", func(t *testing.T) {
		m := newMemoryTest(t, 50)
		token := m.acquire("claimed first")
		for i := range 49 {
			m.complete(strconv.Itoa(i), time.Hour-time.Duration(i)*time.Second)
		}
		require.NoError(t, m.store.Complete(t.Context(), "claimed first", token, time.Minute))
		for i := range 25 {
			m.acquire("new " + strconv.Itoa(i))
		}
		for i := 25; i < 49; i++ {
			assert.Equal(t, geminihook.Done, m.claim(strconv.Itoa(i)).State, "%d", i)
		}
		assert.Equal(t, geminihook.Done, m.claim("claimed first").State)
		assert.Equal(t, geminihook.Claim{State: geminihook.Acquired, Attempt: 1}, m.claim("0"))
	})
	t.Run("never one in progress", func(t *testing.T) {
		m := newMemoryTest(t, 3)
		a, b, c := m.acquire("a"), m.acquire("b"), m.acquire("c")
		m.requireFull("d")
		assert.Equal(t, geminihook.InProgress, m.claim("a").State, "what is known needs no room")
		require.NoError(t, m.store.Complete(t.Context(), "b", b, time.Hour))
		m.acquire("d")
		m.requireFull("b")
		require.NoError(t, m.store.Complete(t.Context(), "a", a, time.Hour))
		require.NoError(t, m.store.Complete(t.Context(), "c", c, time.Hour))
	})
	t.Run("one whose lease has expired, as the last resort", func(t *testing.T) {
		const entries = 10
		for expired := range entries {
			m := newMemoryTest(t, entries)
			for i := range entries {
				lease := time.Hour
				if i == expired {
					lease = time.Minute
				}
				m.claimFor(strconv.Itoa(i), "token", lease)
			}
			m.requireFull("too early")
			m.clock.advance(time.Minute)
			m.acquire("new")
			for i := range entries {
				if i != expired {
					assert.Equal(t, geminihook.InProgress, m.claim(strconv.Itoa(i)).State, "%d", i)
				}
			}
			m.requireFull("no other")
		}
	})
	t.Run("a done one before one whose lease has expired", func(t *testing.T) {
		m := newMemoryTest(t, 2)
		token := m.acquire("expired")
		m.complete("done", time.Hour)
		m.clock.advance(time.Minute)
		m.acquire("new")
		require.NoError(t, m.store.Complete(t.Context(), "expired", token, time.Hour))
	})
}

func TestMemoryStoreMaxEntries(t *testing.T) {
	const byDefault = 100_000
	for _, tt := range []struct {
		name       string
		maxEntries int
		holds      int
	}{
		{"by default", 0, byDefault},
		{"fewer", 1, 1},
		{"more", byDefault + 1, byDefault + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemoryTest(t, tt.maxEntries)
			for i := range tt.holds {
				key := strconv.Itoa(i)
				c, err := m.store.Claim(t.Context(), key, "token", time.Minute, time.Hour)
				if err != nil || c.State != geminihook.Acquired {
					t.Fatalf("claim %d is %v: %v", i, c.State, err)
				}
			}
			m.requireFull("one more")
		})
	}
}

// TestMemoryStoreForgets tests that what has expired is forgotten, and that its
// memory is used again as other keys come.
func TestMemoryStoreForgets(t *testing.T) {
	const n = 20_000
	m := newMemoryTest(t, 10*n)
	m.complete("long", 24*time.Hour)
	fill := func(prefix string) {
		for i := range n {
			m.complete(prefix+strconv.Itoa(i), time.Hour)
		}
	}
	empty := heapSize()
	fill("first")
	first := heapSize() - empty
	m.clock.advance(time.Hour)
	for i := range 10 {
		assert.Equal(t, 1, m.claim("first"+strconv.Itoa(i*n/10)).Attempt)
	}
	fill("then")
	assert.Less(t, float64(heapSize()-empty), 1.3*float64(first))
	assert.Equal(t, geminihook.Done, m.claim("long").State)
	runtime.KeepAlive(m)
}

// TestMemoryStoreClones tests that the store keeps no memory of the caller, in
// which an adapter may put the next request.
func TestMemoryStoreClones(t *testing.T) {
	m := newMemoryTest(t, 0)
	key, keyMemory := borrowed("key")
	token, tokenMemory := borrowed("token")
	require.Equal(t, geminihook.Acquired, m.claimFor(key, token, time.Minute).State)
	copy(keyMemory, "KEY")
	copy(tokenMemory, "TOKEN")
	require.NoError(t, m.store.Complete(t.Context(), "key", "token", time.Hour))
	assert.Equal(t, geminihook.Done, m.claim("key").State)
}

// TestMemoryStoreRace tests that no key has two holders, and that the bound holds,
// when all compete for too few places.
func TestMemoryStoreRace(t *testing.T) {
	const keys, workers, rounds = 64, 16, 2000
	m := &geminihook.MemoryStore{MaxEntries: keys / 2}
	var holders [keys]sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				k := (i*7 + w*13) % keys
				key, token := strconv.Itoa(k), rand.Text()
				c, err := m.Claim(t.Context(), key, token, time.Hour, time.Hour)
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
					err = m.Release(t.Context(), key, token)
				} else {
					err = m.Complete(t.Context(), key, token, time.Nanosecond)
				}
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}

func TestMemoryStoreContext(t *testing.T) {
	m := newMemoryTest(t, 0)
	token := m.acquire("x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.store.Claim(ctx, "y", "token", time.Minute, time.Hour)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, m.store.Renew(ctx, "x", token, time.Hour), context.Canceled)
	require.ErrorIs(t, m.store.Complete(ctx, "x", token, time.Hour), context.Canceled)
	require.ErrorIs(t, m.store.Release(ctx, "x", token), context.Canceled)
}

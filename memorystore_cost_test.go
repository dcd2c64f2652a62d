package geminihook_test

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// BenchmarkMemoryStore measures a claim with its completion in a store that holds
// so many keys: with room for more, and full, so that an old key is evicted first.
func BenchmarkMemoryStore(b *testing.B) {
	for _, full := range []bool{false, true} {
		for _, n := range []int{1_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("full=%t/%d", full, n), func(b *testing.B) {
				var m *geminihook.MemoryStore
				once := func(i int) {
					key := "msg_" + strconv.Itoa(i)
					_, err := m.Claim(b.Context(), key, key, time.Minute, time.Hour)
					if err == nil {
						err = m.Complete(b.Context(), key, key, time.Hour)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				for i := 0; b.Loop(); i++ {
					if i%(n/2) == 0 && (m == nil || !full) { // n to 1.5 n
						b.StopTimer()
						m = &geminihook.MemoryStore{MaxEntries: 2 * n}
						if full {
							m.MaxEntries = n
						}
						for i := range n {
							once(-1 - i)
						}
						runtime.GC()
						b.StartTimer()
					}
					once(i)
				}
			})
		}
	}
}

// TestMemoryStoreSize tests that a key takes at most 256 bytes, with numbers of
// keys that suit a map well and badly.
func TestMemoryStoreSize(t *testing.T) {
	for _, n := range []int{100_000, 150_000} {
		before := heapSize()
		m := &geminihook.MemoryStore{MaxEntries: n}
		for i := range n {
			key, token := fmt.Sprintf("v1:msg_%036d", i), rand.Text()
			_, err := m.Claim(t.Context(), key, token, time.Minute, time.Hour)
			require.NoError(t, err)
			require.NoError(t, m.Complete(t.Context(), key, token, time.Hour))
		}
		size := float64(heapSize()-before) / float64(n)
		runtime.KeepAlive(m)
		t.Logf("%d entries: %.0f bytes each", n, size)
		assert.Less(t, size, 256.0)
	}
}

// heapSize returns the size of the heap after a garbage collection.
func heapSize() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// TestMemoryStoreAllocatesNothing: what arrives again allocates nothing.
func TestMemoryStoreAllocatesNothing(t *testing.T) {
	m := &geminihook.MemoryStore{}
	claim := func() { _, _ = m.Claim(t.Context(), "x", "another", time.Minute, time.Hour) }
	_, err := m.Claim(t.Context(), "x", "token", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, claim), "in progress")
	require.NoError(t, m.Complete(t.Context(), "x", "token", time.Hour))
	assert.Zero(t, testing.AllocsPerRun(100, claim), "duplicate")
}

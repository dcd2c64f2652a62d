package geminihook_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// BenchmarkMemoryStore is a claim and its completion where so many ids are held:
// with room for more, and in a full store, which first drives an old one out.
func BenchmarkMemoryStore(b *testing.B) {
	for _, full := range []bool{false, true} {
		for _, n := range []int{1_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("full=%t/%d", full, n), func(b *testing.B) {
				var m *geminihook.MemoryStore
				once := func(i int) {
					key := "msg_" + strconv.Itoa(i)
					c, err := m.Claim(b.Context(), key, time.Minute, time.Hour)
					if err == nil {
						err = m.Complete(b.Context(), key, c.Token, time.Hour)
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

// TestMemoryStoreSize: at most 256 bytes for an id, at sizes that suit a
// map well and badly.
func TestMemoryStoreSize(t *testing.T) {
	for _, n := range []int{100_000, 150_000} {
		before := heap()
		m := &geminihook.MemoryStore{MaxEntries: n}
		for i := range n {
			c, err := m.Claim(context.Background(), fmt.Sprintf("msg_%036d", i), time.Minute, time.Hour)
			require.NoError(t, err)
			require.NoError(t, m.Complete(context.Background(), fmt.Sprintf("msg_%036d", i), c.Token, time.Hour))
		}
		size := float64(heap()-before) / float64(n)
		runtime.KeepAlive(m)
		t.Logf("%d entries: %.0f bytes each", n, size)
		assert.Less(t, size, 256.0)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func TestMemoryStoreAllocates(t *testing.T) {
	m := &geminihook.MemoryStore{}
	ctx := context.Background()
	c, err := m.Claim(ctx, "x", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = m.Claim(ctx, "x", time.Minute, time.Hour) }), "in progress")
	require.NoError(t, m.Complete(ctx, "x", c.Token, time.Hour))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = m.Claim(ctx, "x", time.Minute, time.Hour) }), "duplicate")
}

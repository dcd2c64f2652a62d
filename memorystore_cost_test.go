package geminihook_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMemoryStoreSize: at most 256 bytes for an id, at sizes that suit a
// map well and badly.
func TestMemoryStoreSize(t *testing.T) {
	for _, n := range []int{100_000, 150_000, 250_000} {
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

package main

import (
	"context"
	"runtime"
	"sync"

	"github.com/geminihook/geminihook"
)

// startNothing is for an engine that is part of this process.
func startNothing() (*server, error) { return &server{close: func() {}}, nil }

func openMemory(*server, string, int, dialFunc) (*subject, error) {
	s := &subject{
		store:     &geminihook.MemoryStore{MaxEntries: 10_000_000},
		bareLease: bareMap(),
		close:     func() {},
	}
	s.fill = func(ctx context.Context, ids int) error {
		for range ids {
			if err := s.acquire(ctx, newKey()); err != nil {
				return err
			}
		}
		return nil
	}
	s.stored = func(context.Context) (float64, error) {
		defer runtime.KeepAlive(s)
		return heap(), nil
	}
	return s, nil
}

// bareMap writes a key into a map twice.
func bareMap() func(context.Context, string) error {
	var mu sync.Mutex
	states := map[string]int{}
	write := func(key string, state int) {
		mu.Lock()
		defer mu.Unlock()
		states[key] = state
	}
	return func(_ context.Context, key string) error {
		write(key, 1)
		write(key, 2)
		return nil
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc)
}

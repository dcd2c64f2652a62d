package main

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// A way is one of several ways to do the same.
type way struct {
	name    string
	prepare func(n int) // makes what the next n runs need, while no clock runs; nil if nothing
	run     func(i int) // i below the n of prepare
}

// cost is what one run costs: medians of the rounds.
type cost struct{ ns, bytes, allocs float64 }

// compare runs every way n times a round, one after the other, so that a noisy
// machine is noisy for all of them. The workers share the runs.
func compare(rounds, n, workers int, ways []way) []cost {
	all := make([][]cost, len(ways))
	for round := range rounds + 1 {
		for k := range ways {
			i := (k + round) % len(ways) // nobody is always the first
			c := measure(n, workers, ways[i])
			if round > 0 { // the first warms up
				all[i] = append(all[i], c)
			}
		}
	}
	costs := make([]cost, len(ways))
	for i, rounds := range all {
		costs[i] = cost{
			ns:     median(rounds, func(c cost) float64 { return c.ns }),
			bytes:  median(rounds, func(c cost) float64 { return c.bytes }),
			allocs: median(rounds, func(c cost) float64 { return c.allocs }),
		}
	}
	return costs
}

func measure(n, workers int, w way) cost {
	if w.prepare != nil {
		w.prepare(n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if workers == 1 {
		for i := range n {
			w.run(i)
		}
	} else {
		var wg sync.WaitGroup
		for worker := range workers {
			wg.Go(func() {
				for i := worker; i < n; i += workers {
					w.run(i)
				}
			})
		}
		wg.Wait()
	}
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	return cost{
		ns:     float64(elapsed.Nanoseconds()) / float64(n),
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}
}

func median(costs []cost, of func(cost) float64) float64 {
	values := make([]float64, len(costs))
	for i, c := range costs {
		values[i] = of(c)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

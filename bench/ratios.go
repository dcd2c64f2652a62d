package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A ratio compares a store with its engine alone.
type ratio struct {
	rate  float64 // events per second of the store
	ratio float64 // of the rate to that of the engine
}

var ratioWorkers = []int{1, 8, 64}

// measureRatios compares one kind of store with its engine alone, for each number of
// workers.
func measureRatios(s *server, kind storeKind, rounds int, slice time.Duration) []ratio {
	var ratios []ratio
	for i, workers := range ratioWorkers {
		subject, err := kind.open(s, fmt.Sprintf("ratios%d", i), workers, dial)
		must(err)
		ratios = append(ratios, beside(workers, rounds, slice, subject.acquire, subject.bare))
		subject.close()
	}
	return ratios
}

type handleFunc func(ctx context.Context, key string) error

// beside runs slices of each in turns. It returns the median of the store's rates,
// and the median of the ratios of the slices that follow each other.
func beside(workers, rounds int, slice time.Duration, store, bare handleFunc) ratio {
	rate(workers, slice, store) // to warm up
	rate(workers, slice, bare)
	var rates, ratios []float64
	for i := range rounds {
		var ours, engine float64
		if i%2 == 0 {
			ours = rate(workers, slice, store)
			engine = rate(workers, slice, bare)
		} else {
			engine = rate(workers, slice, bare)
			ours = rate(workers, slice, store)
		}
		rates = append(rates, ours)
		ratios = append(ratios, ours/engine)
	}
	return ratio{rate: middle(rates), ratio: middle(ratios)}
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// rate handles new keys for a while, and returns how many per second.
func rate(workers int, slice time.Duration, handle handleFunc) float64 {
	n, took := handleMany(workers, slice, 1<<62, handle)
	return float64(n) / took.Seconds()
}

// handleMany handles new keys for a while, but at most a number of them. It returns how
// many were handled, and how long that took.
func handleMany(
	workers int, slice time.Duration, atMost int64, handle handleFunc,
) (int64, time.Duration) {
	// One context for all: a timer per call is not part of a store's cost.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var begun atomic.Int64
	counts := make([]int64, workers)
	start := time.Now()
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for time.Since(start) < slice && begun.Add(1) <= atMost {
				must(handle(ctx, newKey()))
				counts[i]++
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return sum, took
}

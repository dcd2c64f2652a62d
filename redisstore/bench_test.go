package redisstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/stretchr/testify/require"
)

// BenchmarkStore compares a claim and its completion with the same two scripts
// sent by the bare client. They take turns, so that both see the same machine. The
// metric store/bare is the median quotient of their rates.
func BenchmarkStore(b *testing.B) {
	c := client(b, testserver.NewRedis(b).URL)
	store := redisstore.New(c)
	viaStore := func(ctx context.Context, key, token string) error {
		if _, err := store.Claim(ctx, key, token, time.Minute, time.Hour); err != nil {
			return err
		}
		return store.Complete(ctx, key, token, time.Hour)
	}
	claim, complete := redisstore.ClaimScript.Hash(), redisstore.CompleteScript.Hash()
	bare := func(ctx context.Context, key, token string) error {
		keys := []string{"geminihook:" + key}
		const lease, keep = time.Minute, time.Hour
		err := c.EvalSha(ctx, claim, keys, token, lease.Microseconds(), keep.Milliseconds()).Err()
		if err != nil {
			return err
		}
		return c.EvalSha(ctx, complete, keys, token, keep.Milliseconds()).Err()
	}
	require.NoError(b, viaStore(b.Context(), "warm", "token")) // loads the scripts
	for _, workers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			const slice = 512
			var ratios []float64
			for i := 0; b.Loop(); i++ {
				var store, bareClient time.Duration
				if i%2 == 0 {
					store = inParallel(b, workers, slice, viaStore)
					bareClient = inParallel(b, workers, slice, bare)
				} else {
					bareClient = inParallel(b, workers, slice, bare)
					store = inParallel(b, workers, slice, viaStore)
				}
				ratios = append(ratios, float64(bareClient)/float64(store))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "store/bare")
		})
	}
}

// inParallel returns how long the workers take for n keys together.
func inParallel(
	b *testing.B, workers, n int, do func(ctx context.Context, key, token string) error,
) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range n / workers {
				if err := do(ctx, "v1:msg_"+rand.Text(), rand.Text()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

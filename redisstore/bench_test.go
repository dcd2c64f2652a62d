package redisstore_test

import (
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/stretchr/testify/require"
)

func BenchmarkClaimComplete(b *testing.B) {
	for _, size := range []int{1_000, 100_000, 1_000_000} {
		b.Run(sizes[size], func(b *testing.B) {
			redisServer := testserver.NewRedis(b)
			c := client(b, redisServer.URL)
			s := redisstore.New(c)
			fill(b, c, size)
			for b.Loop() {
				key := "new_" + time.Now().String()
				claim, err := s.Claim(b.Context(), key, time.Minute, time.Hour)
				require.NoError(b, err)
				require.NoError(b, s.Complete(b.Context(), key, claim.Token, time.Hour))
			}
		})
	}
}

package redisstore_test

import (
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	c := client(t, testserver.NewRedis(t).URL)
	for _, tt := range []struct {
		name, limit, policy string
		want                error
	}{
		{"the default of Redis", "0", "noeviction", nil},
		{"noeviction with a limit", "100mb", "noeviction", nil},
		{"the default of managed services", "100mb", "volatile-lru", redisstore.ErrEviction},
		{"a cache", "100mb", "allkeys-lfu", redisstore.ErrEviction},
		{"by time to live", "100mb", "volatile-ttl", redisstore.ErrEviction},
		{"no limit", "0", "volatile-lru", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", tt.limit).Err())
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", tt.policy).Err())
			err := redisstore.New(c).Check(t.Context())
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.policy)
		})
	}
}

func TestCheckFails(t *testing.T) {
	require.Error(t, gone(t).(*redisstore.Store).Check(t.Context()))
	c := client(t, testserver.NewRedis(t, "--rename-command", "INFO", "").URL)
	err := redisstore.New(c).Check(t.Context())
	require.Error(t, err)
	require.NotErrorIs(t, err, redisstore.ErrEviction)
}

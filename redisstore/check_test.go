package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckEviction(t *testing.T) {
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

// setUser gives the user of asLimited these rights only.
func setUser(t *testing.T, admin *redis.Client, rights ...any) {
	t.Helper()
	args := append([]any{"ACL", "SETUSER", "limited", "reset", "on", ">secret"}, rights...)
	require.NoError(t, admin.Do(t.Context(), args...).Err())
}

func asLimited(o *redis.Options) { o.Username, o.Password = "limited", "secret" }

func TestCheckPermissions(t *testing.T) {
	redisServer := testserver.NewRedis(t)
	admin := client(t, redisServer.URL)
	for _, tt := range []struct {
		name   string
		rights string
		want   string // in the error
	}{
		{"all", "+@all", ""},
		{"no EVALSHA", "-evalsha", "evalsha"},
		{"no EVAL, which a restarted server needs", "-eval", "eval"},
		{"no INFO", "-info", "info"},
		{"no HDEL, which Complete needs", "-hdel", "a completion: "},
		{"no PTTL, which Renew needs", "-pttl", "a renewal: "},
		{"reads only", "-@write", "a claim by EVAL: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			setUser(t, admin, "~*", "+@all", tt.rights)
			c := client(t, redisServer.URL, asLimited)
			err := redisstore.New(c).Check(t.Context())
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// TestCheckKeys tests that Check needs no key outside of Prefix.
func TestCheckKeys(t *testing.T) {
	redisServer := testserver.NewRedis(t)
	setUser(t, client(t, redisServer.URL), "~mine:*", "+@all")
	s := redisstore.New(client(t, redisServer.URL, asLimited))
	require.Error(t, s.Check(t.Context()), "geminihook: is not permitted")
	s.Prefix = "mine:"
	require.NoError(t, s.Check(t.Context()))
}

func TestCheckLeavesNothing(t *testing.T) {
	c := client(t, testserver.NewRedis(t).URL)
	require.NoError(t, redisstore.New(c).Check(t.Context()))
	require.Eventually(t, func() bool {
		n, err := c.DBSize(t.Context()).Result()
		require.NoError(t, err)
		return n == 0
	}, time.Minute, time.Millisecond)
}

func TestCheckReplica(t *testing.T) {
	c := client(t, testserver.NewRedis(t).URL)
	require.NoError(t, c.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	require.ErrorContains(t, redisstore.New(c).Check(t.Context()), "READONLY")
}

// TestCheckContext tests that Check refuses clients whose calls can outlive their
// contexts.
func TestCheckContext(t *testing.T) {
	addr := testserver.NewRedis(t).Addr
	for name, c := range map[string]redis.UniversalClient{
		"client":  redis.NewClient(&redis.Options{Addr: addr}),
		"cluster": redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}}),
		"ring":    redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": addr}}),
	} {
		assert.ErrorContains(t, redisstore.New(c).Check(t.Context()), "ContextTimeoutEnabled", name)
		require.NoError(t, c.Close())
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": addr}, ContextTimeoutEnabled: true})
	defer func() { _ = ring.Close() }()
	require.NoError(t, redisstore.New(ring).Check(t.Context()))
}

func TestCheckFails(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, hung(t).(*redisstore.Store).Check(ctx))
	c := client(t, testserver.NewRedis(t, "--rename-command", "INFO", "").URL)
	err := redisstore.New(c).Check(t.Context())
	require.Error(t, err)
	require.NotErrorIs(t, err, redisstore.ErrEviction)
}

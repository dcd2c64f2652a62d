package redisstore_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func client(t testing.TB, url string, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	for _, f := range change {
		f(options)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// store has a prefix of its own.
func store(t testing.TB, url string) *redisstore.Store {
	t.Helper()
	s := redisstore.New(client(t, url))
	s.Prefix = t.Name() + time.Now().String() + ":"
	return s
}

func gone(t *testing.T) geminihook.Store {
	t.Helper()
	return redisstore.New(client(t, "redis://127.0.0.1:1/0"))
}

func TestStore(t *testing.T) {
	storetest.Suite{
		New: func(t *testing.T) geminihook.Store { return store(t, server.Redis(t).URL) },
		Second: func(t *testing.T, first geminihook.Store) geminihook.Store {
			second := redisstore.New(client(t, server.Redis(t).URL))
			second.Prefix = first.(*redisstore.Store).Prefix
			return second
		},
		Gone: gone,
	}.Run(t)
}

// TestCluster: three nodes that share the slots.
func TestCluster(t *testing.T) {
	var nodes []string
	for range 3 {
		nodes = append(nodes, testserver.NewRedis(t, "--cluster-enabled", "yes").Addr)
	}
	out, err := exec.Command("redis-cli", append([]string{"--cluster-yes", "--cluster", "create"}, nodes...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	one := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes})
	two := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes[2:]})
	t.Cleanup(func() {
		_ = one.Close()
		_ = two.Close()
	})
	require.Eventually(t, func() bool {
		info, err := one.ClusterInfo(t.Context()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, time.Minute, 10*time.Millisecond)
	prefix := func(t *testing.T) string { return strings.ReplaceAll(t.Name(), "/", "-") + ":" }
	storetest.Suite{
		New: func(t *testing.T) geminihook.Store {
			require.NoError(t, one.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error {
				return c.FlushAll(ctx).Err()
			}))
			s := redisstore.New(one)
			s.Prefix = prefix(t)
			return s
		},
		Second: func(t *testing.T, first geminihook.Store) geminihook.Store {
			s := redisstore.New(two)
			s.Prefix = first.(*redisstore.Store).Prefix
			return s
		},
	}.Run(t)
}

// TestRoundTrips: each transition is one, once the server knows the scripts.
func TestRoundTrips(t *testing.T) {
	var trips testserver.RoundTrips
	s := redisstore.New(client(t, server.Redis(t).URL, func(o *redis.Options) { o.Dialer = trips.Dial }))
	s.Prefix = t.Name() + time.Now().String()
	cycle := func(key string) {
		c, err := s.Claim(t.Context(), key, time.Minute, time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Release(t.Context(), key, c.Token))
		c, err = s.Claim(t.Context(), key, time.Minute, time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Complete(t.Context(), key, c.Token, time.Hour))
	}
	cycle("warm")
	trips.Count()
	cycle("msg_1")
	assert.Equal(t, 4, trips.Count())
	c, err := s.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Done, c.State)
	assert.Equal(t, 1, trips.Count(), "a duplicate")
}

// TestScriptsForgotten: a server that was restarted, or told to forget its
// scripts, learns them again.
func TestScriptsForgotten(t *testing.T) {
	redisServer := testserver.NewRedis(t)
	c := client(t, redisServer.URL)
	s := redisstore.New(c)
	for range 2 {
		claim, err := s.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
		require.NoError(t, err)
		require.Equal(t, geminihook.Acquired, claim.State)
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		require.NoError(t, s.Release(t.Context(), "msg_1", claim.Token))
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
	}
	keys, err := c.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	assert.Equal(t, []string{redisstore.DefaultPrefix + "msg_1"}, keys)
	ttl, err := c.PTTL(t.Context(), keys[0]).Result()
	require.NoError(t, err)
	assert.Positive(t, ttl, "what is not completed expires too")
}

// TestHangs: a server that hangs does not make the sender wait, and the store
// is well again when the server is.
func TestHangs(t *testing.T) {
	proxy := testserver.NewProxy(t, testserver.NewRedis(t).Addr)
	c := client(t, "redis://"+proxy.Addr)
	verifier, err := geminihook.NewHMAC(webhooktest.Secret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: redisstore.New(c), StoreTimeout: 100 * time.Millisecond}
	runs := 0
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error { runs++; return nil })
	deliver := func() int {
		d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/"))
		return w.Code
	}
	require.Equal(t, http.StatusOK, deliver())
	release := proxy.Hold()
	assert.Equal(t, http.StatusServiceUnavailable, deliver())
	release()
	require.Eventually(t, func() bool { return deliver() == http.StatusOK }, time.Minute, 10*time.Millisecond)
	assert.GreaterOrEqual(t, runs, 2)
}

package redisstore_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
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

// store returns a store with a prefix that no other test uses.
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

// TestCluster tests three nodes that share the slots.
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
	for _, addr := range nodes { // each learns by itself that all slots are served
		node := client(t, "redis://"+addr)
		require.Eventually(t, func() bool {
			info, err := node.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok")
		}, time.Minute, 10*time.Millisecond)
	}
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
	require.NoError(t, redisstore.New(one).Check(t.Context()))
	require.NoError(t, one.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error {
		if !strings.HasSuffix(nodes[0], c.Options().Addr) {
			return nil
		}
		return errors.Join(c.ConfigSet(ctx, "maxmemory", "100mb").Err(), c.ConfigSet(ctx, "maxmemory-policy", "volatile-lru").Err())
	}))
	require.ErrorIs(t, redisstore.New(one).Check(t.Context()), redisstore.ErrEviction, "one of three")
}

// TestACL tests that the permissions that the README names are enough.
func TestACL(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	command := regexp.MustCompile(`(?m)^ACL SETUSER .*$`).Find(readme)
	require.NotEmpty(t, command)
	redisServer := testserver.NewRedis(t)
	var args []any
	for _, word := range strings.Fields(string(command)) {
		args = append(args, strings.ReplaceAll(word, "<password>", "secret"))
	}
	require.NoError(t, client(t, redisServer.URL).Do(t.Context(), args...).Err())
	var refused []string
	c := client(t, redisServer.URL, func(o *redis.Options) { o.Username, o.Password = "geminihook", "secret" })
	s := redisstore.New(c)
	for _, key := range []string{"released", "completed"} {
		require.NoError(t, s.Check(t.Context()))
		claim, err := s.Claim(t.Context(), key, time.Minute, time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Renew(t.Context(), key, claim.Token, time.Hour))
		if key == "completed" {
			require.NoError(t, s.Complete(t.Context(), key, claim.Token, time.Hour))
			continue
		}
		require.NoError(t, s.Release(t.Context(), key, claim.Token))
	}
	s.Prefix = "elsewhere:"
	_, err = s.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
	require.Error(t, err, "other keys are not permitted")
	require.Error(t, c.FlushAll(t.Context()).Err())
	log, err := client(t, redisServer.URL).ACLLog(t.Context(), 100).Result()
	require.NoError(t, err)
	for _, entry := range log {
		if entry.Object != "client|setinfo" { // Redis 7.2 has it; the driver does without
			refused = append(refused, entry.Object)
		}
	}
	assert.ElementsMatch(t, []string{"elsewhere:msg_1", "flushall"}, refused, "nothing else was refused")
}

// TestHangs tests that a server that hangs does not make the sender wait, and
// that nothing has to be done when it continues.
func TestHangs(t *testing.T) {
	proxy := testserver.NewProxy(t, testserver.NewRedis(t).Addr)
	c := client(t, "redis://"+proxy.Addr)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: redisstore.New(c), StoreTimeout: 100 * time.Millisecond}
	runs := 0
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error { runs++; return nil })
	deliver := func() int {
		d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.TestSecret))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/"))
		return w.Code
	}
	succeeds := func() bool { return deliver() == http.StatusOK } // a slow machine can exceed the StoreTimeout
	require.Eventually(t, succeeds, time.Minute, 10*time.Millisecond)
	before := runs
	release := proxy.Hold()
	assert.Equal(t, http.StatusServiceUnavailable, deliver())
	release()
	require.Eventually(t, succeeds, time.Minute, 10*time.Millisecond)
	assert.Greater(t, runs, before)
}

package redisstore_test

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newCluster starts three masters that share the slots, each with so many replicas.
//
// It returns when each node knows that all slots are served, and each replica has
// its master's data: otherwise it could not take over.
func newCluster(t *testing.T, replicas int, options ...string) []*testserver.Server {
	t.Helper()
	var nodes []*testserver.Server
	args := []string{
		"--cluster-yes", "--cluster", "create", "--cluster-replicas", strconv.Itoa(replicas),
	}
	for range 3 * (1 + replicas) {
		node := testserver.NewRedis(t, append([]string{"--cluster-enabled", "yes"}, options...)...)
		nodes = append(nodes, node)
		args = append(args, node.Addr)
	}
	out, err := exec.Command("redis-cli", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, server := range nodes {
		node := client(t, "redis://"+server.Addr)
		require.Eventually(t, func() bool {
			cluster, err1 := node.ClusterInfo(t.Context()).Result()
			replication, err2 := node.Info(t.Context(), "replication").Result()
			ready := strings.Contains(replication, "master_link_status:up")
			if strings.Contains(replication, "role:master") {
				ready = strings.Count(replication, "state=online") == replicas
			}
			ready = ready && strings.Contains(cluster, "cluster_state:ok")
			return err1 == nil && err2 == nil && ready
		}, time.Minute, 10*time.Millisecond)
	}
	return nodes
}

func clusterClient(
	t *testing.T, nodes []*testserver.Server, options redis.ClusterOptions,
) *redis.ClusterClient {
	t.Helper()
	options.ContextTimeoutEnabled = true
	for _, node := range nodes {
		options.Addrs = append(options.Addrs, node.Addr)
	}
	c := redis.NewClusterClient(&options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCluster(t *testing.T) {
	nodes := newCluster(t, 0)
	one := clusterClient(t, nodes, redis.ClusterOptions{})
	two := clusterClient(t, nodes[2:], redis.ClusterOptions{})
	storetest.Suite{
		New: func(t *testing.T) geminihook.Store {
			flush := func(ctx context.Context, master *redis.Client) error {
				return master.FlushAll(ctx).Err()
			}
			require.NoError(t, one.ForEachMaster(t.Context(), flush))
			s := redisstore.New(one)
			s.Prefix = strings.ReplaceAll(t.Name(), "/", "-") + ":"
			return s
		},
		Second: func(t *testing.T, first geminihook.Store) geminihook.Store {
			s := redisstore.New(two)
			s.Prefix = first.(*redisstore.Store).Prefix
			return s
		},
	}.Run(t)
}

// TestCheckCluster tests that Check looks at every master.
func TestCheckCluster(t *testing.T) {
	nodes := newCluster(t, 0)
	cluster := clusterClient(t, nodes, redis.ClusterOptions{})
	store := redisstore.New(cluster)
	require.NoError(t, store.Check(t.Context()))
	for _, server := range nodes {
		node := client(t, "redis://"+server.Addr)
		set := func(limit, policy string) {
			require.NoError(t, errors.Join(
				node.ConfigSet(t.Context(), "maxmemory", limit).Err(),
				node.ConfigSet(t.Context(), "maxmemory-policy", policy).Err()))
		}
		set("100mb", "volatile-lru")
		for range 10 { // a command without a key goes to any of the three
			require.ErrorIs(t, store.Check(t.Context()), redisstore.ErrEviction, "one of three")
		}
		set("1", "noeviction")
		require.ErrorContains(t, store.Check(t.Context()), "OOM", "one of three")
		set("0", "noeviction")
	}
	require.NoError(t, store.Check(t.Context()))
}

// TestFailover tests that the store finds the new master after a master has died.
// The client by itself would look for it an hour later.
func TestFailover(t *testing.T) {
	nodes := newCluster(t, 1, "--repl-diskless-sync-delay", "0")
	cluster := clusterClient(t, nodes, redis.ClusterOptions{
		ClusterStateReloadInterval: time.Hour,
		DialTimeout:                time.Second,
	})
	store := redisstore.New(cluster)
	var keys []string
	for i := range 30 { // on all masters
		keys = append(keys, strconv.Itoa(i))
		_, err := store.Claim(t.Context(), keys[i], "token", time.Hour, time.Hour)
		require.NoError(t, err)
	}
	for _, server := range nodes { // not before: on a busy machine, nodes would be taken for dead
		node := client(t, "redis://"+server.Addr)
		require.NoError(t, node.ConfigSet(t.Context(), "cluster-node-timeout", "1000").Err())
	}
	require.NoError(t, nodes[0].Kill())
	for _, key := range keys {
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			claim, err := store.Claim(ctx, key, "token", time.Hour, time.Hour)
			return err == nil && assert.Equal(t, geminihook.Acquired, claim.State)
		}, 2*time.Minute, 10*time.Millisecond)
	}
}

// TestReload tests that calls that fail do not ask for the cluster's state more
// than once per second.
func TestReload(t *testing.T) {
	var loads atomic.Int64
	cluster := clusterClient(t, nil, redis.ClusterOptions{
		MaxRedirects:  -1,
		DialerRetries: 1,
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
			loads.Add(1)
			nodes := []redis.ClusterNode{{Addr: "127.0.0.1:1"}}
			return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: nodes}}, nil
		},
	})
	store := redisstore.New(cluster)
	began := time.Now()
	require.Eventually(t, func() bool {
		_, err := store.Claim(t.Context(), "msg_1", "token", time.Hour, time.Hour)
		assert.Error(t, err)
		return loads.Load() > 1 && time.Since(began) > 1500*time.Millisecond
	}, time.Minute, time.Microsecond, "it asks again")
	most := 2 + int64(time.Since(began)/time.Second) // at first, at once, and then once per second
	assert.LessOrEqual(t, loads.Load(), most)
}

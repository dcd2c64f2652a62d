package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/redis/go-redis/v9"
)

// mastersRun is one round with one number of masters.
type mastersRun struct{ rate, server, client float64 } // events/s, ns of CPU per event

// masters measures Redis Cluster with 1, 2 and 3 masters.
func masters(quick bool) *table {
	rounds, events, counts := 5, 40_000, []int{1, 2, 3}
	if quick {
		rounds, events, counts = 1, 500, []int{1, 2}
	}
	var clusters []*cluster
	runs := make([][]mastersRun, len(counts))
	for _, n := range counts {
		c, err := startCluster(n, 0)
		must(err)
		defer c.close()
		clusters = append(clusters, c)
	}
	for range rounds {
		for i, c := range clusters {
			runs[i] = append(runs[i], claimAll(c, events))
		}
	}
	t := &table{head: []string{
		"masters", "events/s", "CPU of the masters per event", "CPU of the client per event",
		"keys per master, of an even share",
	}}
	for i, n := range counts {
		of := func(value func(mastersRun) float64) float64 { return medianOf(runs[i], value) }
		t.add(strconv.Itoa(n),
			whole(of(func(r mastersRun) float64 { return r.rate })),
			duration(of(func(r mastersRun) float64 { return r.server })),
			duration(of(func(r mastersRun) float64 { return r.client })),
			spread(clusters[i]))
	}
	return t
}

// claimAll claims and completes events with fresh ids.
func claimAll(c *cluster, events int) mastersRun {
	client := c.client()
	defer func() { _ = client.Close() }()
	store := redisstore.New(client)
	keys := make([]string, events)
	for i := range keys {
		keys[i] = "v1:" + webhooktest.NewID() // as an endpoint has them
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range senders {
		must(store.Check(ctx)) // connects, and looks at each master
	}
	serverBefore, clientBefore, start := serversCPU(c.nodes...), cpuTime("self"), time.Now()
	var wg sync.WaitGroup
	for worker := range senders {
		wg.Go(func() {
			for i := worker; i < events; i += senders {
				_, _ = handleEvent(ctx, store, keys[i])
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	of := func(total time.Duration) float64 { return float64(total) / float64(events) }
	return mastersRun{
		rate:   float64(events) / elapsed.Seconds(),
		server: of(serversCPU(c.nodes...) - serverBefore),
		client: of(cpuTime("self") - clientBefore),
	}
}

// spread returns the fewest and the most keys of a master, compared with the mean.
func spread(c *cluster) string {
	var fewest, most, total int64
	for i, node := range c.nodes {
		client := redis.NewClient(&redis.Options{Addr: node.Addr})
		n, err := client.DBSize(context.Background()).Result()
		must(err)
		must(client.Close())
		if i == 0 {
			fewest, most = n, n
		}
		fewest, most, total = min(fewest, n), max(most, n), total+n
	}
	mean := float64(total) / float64(len(c.nodes))
	return fmt.Sprintf("%.3f to %.3f", float64(fewest)/mean, float64(most)/mean)
}

// cluster is a Redis Cluster: the masters, then the replicas.
type cluster struct{ nodes []*testserver.Server }

func (c *cluster) close() {
	for _, node := range c.nodes {
		_ = node.Close()
	}
}

// client returns a client with the settings that the README of redisstore recommends.
func (c *cluster) client() *redis.ClusterClient {
	options := &redis.ClusterOptions{
		ContextTimeoutEnabled: true,
		DialTimeout:           time.Second,
		ReadTimeout:           time.Second,
		WriteTimeout:          time.Second,
		PoolSize:              totalConnections,
	}
	for _, node := range c.nodes {
		options.Addrs = append(options.Addrs, node.Addr)
	}
	return redis.NewClusterClient(options)
}

package main

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// failover kills a master of a cluster of three, each with a replica, while keys of its
// slots are claimed ten times per second, and measures how long the claims fail.
func failover(quick bool) *table {
	rounds, timeouts := 3, []time.Duration{5 * time.Second, 15 * time.Second}
	if quick {
		rounds, timeouts = 1, []time.Duration{time.Second}
	}
	t := &table{head: []string{
		"`cluster-node-timeout`", "run", "the replica took over after",
		"the first claim succeeded after", "claims that failed",
	}}
	for _, timeout := range timeouts {
		for round := range rounds {
			f := failOver(timeout)
			t.add(timeout.String(), strconv.Itoa(round+1),
				seconds(f.takenOver), seconds(f.recovered), strconv.Itoa(f.failed))
		}
	}
	return t
}

func seconds(d time.Duration) string { return digits(d.Seconds()) + " s" }

// failedOver is one run. The times count from the kill.
type failedOver struct {
	takenOver, recovered time.Duration
	failed               int
}

func failOver(nodeTimeout time.Duration) failedOver {
	logging.Disable() // the client logs each connection that is refused
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := startCluster(3, 1,
		"--cluster-node-timeout", strconv.FormatInt(nodeTimeout.Milliseconds(), 10),
		"--repl-diskless-sync-delay", "0")
	must(err)
	defer c.close()
	client := c.client()
	defer func() { _ = client.Close() }()
	claims := &claims{store: redisstore.New(client), ended: make(chan struct{})}
	for range 20 { // the client is connected, and the scripts are known
		must(claims.claim(ctx, keyOf(ctx, client, c.nodes[0].Addr)))
	}
	var keys []string
	for range 1000 {
		keys = append(keys, keyOf(ctx, client, c.nodes[0].Addr))
	}
	replica := redis.NewClient(&redis.Options{Addr: c.nodes[3].Addr})
	defer func() { _ = replica.Close() }()
	must(c.nodes[0].Kill())
	killed := time.Now()
	f := failedOver{}
	var wg sync.WaitGroup
	wg.Go(func() {
		must(until(ctx, func() bool {
			info, err := replica.Info(ctx, "replication").Result()
			return err == nil && strings.Contains(info, "role:master")
		}))
		f.takenOver = time.Since(killed)
	})
	wg.Go(func() { claims.run(ctx, keys) })
	wg.Wait()
	f.recovered, f.failed = claims.succeeded.Sub(killed), claims.failed
	return f
}

// keyOf returns a fresh key whose slot the master has.
func keyOf(ctx context.Context, client *redis.ClusterClient, master string) string {
	for {
		key := "v1:msg_" + rand.Text()
		node, err := client.MasterForKey(ctx, "geminihook:"+key)
		must(err)
		if node.Options().Addr == master {
			return key
		}
	}
}

// claims are made at a constant rate until one succeeds, however long each takes.
type claims struct {
	store *redisstore.Store
	ended chan struct{} // closed when one has succeeded

	mu        sync.Mutex
	succeeded time.Time // when the first one did
	failed    int
}

func (c *claims) run(ctx context.Context, keys []string) {
	var wg sync.WaitGroup
	defer wg.Wait() // for those that began before
	begin := time.NewTicker(100 * time.Millisecond)
	defer begin.Stop()
	for _, key := range keys {
		wg.Go(func() {
			err := c.claim(ctx, key)
			c.mu.Lock()
			defer c.mu.Unlock()
			switch {
			case err != nil:
				c.failed++
			case c.succeeded.IsZero():
				c.succeeded = time.Now()
				close(c.ended)
			}
		})
		select {
		case <-c.ended:
			return
		case <-begin.C:
		}
	}
}

// claim takes as long as an endpoint lets it by default.
func (c *claims) claim(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err := c.store.Claim(ctx, key, rand.Text(), time.Minute, time.Hour)
	return err
}

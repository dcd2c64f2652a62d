package main

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/redis/go-redis/v9"
)

// startCluster starts masters that share the slots evenly, each with a replica if
// replicas is 1. The arguments are further options of each server.
func startCluster(masters, replicas int, args ...string) (_ *cluster, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := &cluster{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	var clients []*redis.Client
	for range masters * (1 + replicas) {
		node, err := testserver.StartRedis(append([]string{"--cluster-enabled", "yes"}, args...)...)
		if err != nil {
			return c, err
		}
		c.nodes = append(c.nodes, node)
		client := redis.NewClient(&redis.Options{Addr: node.Addr})
		defer func() { _ = client.Close() }()
		clients = append(clients, client)
	}
	host, port, err := net.SplitHostPort(c.nodes[0].Addr)
	if err != nil {
		return c, err
	}
	const slots = 16384
	for i, client := range clients {
		if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return c, err
		}
		if err := client.ClusterMeet(ctx, host, port).Err(); err != nil {
			return c, err
		}
		if i < masters {
			first, last := slots*i/masters, slots*(i+1)/masters-1
			if err := client.ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
				return c, err
			}
		}
	}
	for _, client := range clients {
		if err := until(ctx, func() bool { return ready(ctx, client, len(clients)) }); err != nil {
			return c, err
		}
	}
	return c, replicate(ctx, clients[:masters], clients[masters:])
}

// ready reports whether the node knows all nodes, and that all slots are served.
func ready(ctx context.Context, client *redis.Client, nodes int) bool {
	info, err := client.ClusterInfo(ctx).Result()
	return err == nil && strings.Contains(info, "cluster_state:ok") &&
		strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(nodes)+"\r")
}

// replicate makes the replicas those of the masters, and waits until they have their
// data: otherwise they could not take over.
func replicate(ctx context.Context, masters, replicas []*redis.Client) error {
	for i, replica := range replicas {
		id, err := masters[i].Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		if err := replica.ClusterReplicate(ctx, id).Err(); err != nil {
			return err
		}
	}
	for _, replica := range replicas {
		synced := func() bool {
			info, err := replica.Info(ctx, "replication").Result()
			return err == nil && strings.Contains(info, "master_link_status:up")
		}
		if err := until(ctx, synced); err != nil {
			return err
		}
	}
	return nil
}

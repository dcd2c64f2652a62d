package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrEviction means that the server may evict keys. An evicted claim lets a
// second run begin while the first runs, and an evicted event that was handled
// is handled again if it is redelivered.
var ErrEviction = errors.New("the server evicts keys when its memory is full: set maxmemory-policy to noeviction")

// Check asks the server, or each master of a cluster, whether it may evict
// keys, and returns an error that wraps [ErrEviction] if so. Any other error
// means that a server did not reply, or that INFO is not permitted. Call it at
// the start, and as a readiness check if you like: it is one INFO per server.
//
// A server without a memory limit evicts nothing, whatever its policy.
func (s *Store) Check(ctx context.Context) error {
	result, err := await(ctx, func() error {
		switch c := s.client.(type) {
		case *redis.ClusterClient:
			return c.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error { return check(ctx, master) })
		case *redis.Ring:
			return c.ForEachShard(ctx, func(ctx context.Context, shard *redis.Client) error { return check(ctx, shard) })
		}
		return check(ctx, s.client)
	})
	if err = cmp.Or(err, result); err != nil {
		return failure(err)
	}
	return nil
}

func check(ctx context.Context, client redis.Cmdable) error {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return err
	}
	settings := map[string]string{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		settings[name] = value
	}
	limit, policy := settings["maxmemory"], settings["maxmemory_policy"]
	switch {
	case policy == "":
		return errors.New("the server's INFO does not tell maxmemory_policy: find out whether it evicts keys")
	case policy == "noeviction" || limit == "0":
		return nil
	}
	return fmt.Errorf("%w (it is %s, with maxmemory %s)", ErrEviction, policy, limit)
}

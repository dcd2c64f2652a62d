package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrEviction means that the server may evict keys. An evicted claim lets a
// second run begin while the first runs, and an evicted event that was handled
// is handled again if it is redelivered.
var ErrEviction = errors.New("the server evicts keys when its memory is full: set maxmemory-policy to noeviction")

var errContext = errors.New("the client does not end a call with its context: set ContextTimeoutEnabled in the client's options")

// Check returns an error if the store could not record an event now: if the
// server does not reply or does not permit what the store does, if the client's
// ContextTimeoutEnabled is not set, or if the server may evict keys, which is an
// error that wraps [ErrEviction]. Call it at the start, and as a readiness check if
// you like. In a cluster, it checks each master that serves keys with the Prefix.
//
// Check claims, renews and completes a random key, which expires at once. A server
// without a memory limit evicts nothing, whatever its policy.
func (s *Store) Check(ctx context.Context) error {
	if err := s.check(ctx); err != nil {
		return failure(err)
	}
	return nil
}

func (s *Store) check(ctx context.Context) error {
	if !endsWithContext(s.client) {
		return errContext
	}
	var err error
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		return s.checkMasters(ctx, client)
	case *redis.Ring:
		err = client.ForEachShard(ctx, func(ctx context.Context, shard *redis.Client) error {
			return checkEviction(ctx, shard)
		})
	default:
		err = checkEviction(ctx, s.client)
	}
	if err != nil {
		return err
	}
	return s.probe(ctx, rand.Text())
}

// endsWithContext reports whether the client ends a call with its context.
func endsWithContext(client redis.UniversalClient) bool {
	switch client := client.(type) {
	case *redis.Client:
		return client.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return client.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return client.Options().ContextTimeoutEnabled
	}
	return true // a wrapper, whose options are unknown
}

// checkMasters finds the masters by the keys that they serve: the random keys here
// are enough to find each of a hundred masters.
func (s *Store) checkMasters(ctx context.Context, cluster *redis.ClusterClient) error {
	checked := make(map[*redis.Client]bool)
	for range 2000 {
		key := rand.Text()
		master, err := cluster.MasterForKey(ctx, s.prefix()+key)
		if err != nil {
			return err
		}
		if checked[master] {
			continue
		}
		checked[master] = true
		if err := checkEviction(ctx, master); err != nil {
			return err
		}
		if err := s.probe(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func checkEviction(ctx context.Context, client redis.Cmdable) error {
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

// probe does with the key what the store does with the key of an event. It claims
// by EVAL, too, which the store needs when the server has forgotten the scripts.
func (s *Store) probe(ctx context.Context, key string) error {
	const lease, keep = time.Second, time.Millisecond
	token := rand.Text()
	keys := []string{s.prefix() + key}
	args := []any{token, lease.Microseconds(), milliseconds(lease)}
	err := claimScript.Eval(ctx, s.client, keys, args...).Err()
	if err != nil {
		return fmt.Errorf("a claim by EVAL: %w", err)
	}
	if _, err := s.Claim(ctx, key, token, lease, lease); err != nil {
		return fmt.Errorf("a claim by EVALSHA: %w", err)
	}
	if err := s.Renew(ctx, key, token, lease); err != nil {
		return fmt.Errorf("a renewal: %w", err)
	}
	if err := s.Complete(ctx, key, token, keep); err != nil {
		return fmt.Errorf("a completion: %w", err)
	}
	return nil
}

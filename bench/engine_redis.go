package main

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
)

func startRedis() (*server, error) {
	s, err := testserver.StartRedis("--databases", "64",
		"--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
	if err != nil {
		return nil, err
	}
	return &server{Server: s, close: func() { _ = s.Close() }}, nil
}

func openRedis(s *server, database string, workers int, dial dialFunc) (*subject, error) {
	if !slices.Contains(s.databases, database) {
		s.databases = append(s.databases, database)
	}
	client := redis.NewClient(&redis.Options{
		Addr: s.Addr, DB: slices.Index(s.databases, database), Dialer: dial,
		PoolSize: workers + 1, ContextTimeoutEnabled: true,
	})
	return &subject{
		store:     redisstore.New(client),
		bareLease: bareRedis(client),
		fill:      fillRedis(client),
		stored:    redisInfo(client, "memory", "used_memory"),
		logged:    redisInfo(client, "persistence", "aof_current_size"),
		close:     func() { _ = client.Close() },
	}, nil
}

var (
	bareClaim = redis.NewScript(`
local now = tonumber(redis.call('TIME')[1])
local token, lease = unpack(redis.call('HMGET', KEYS[1], 'token', 'lease'))
if token and (not lease or tonumber(lease) > now) then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'lease', now + ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1`)

	bareComplete = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'lease')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1`)
)

// bareRedis claims and completes a key with a plain script each.
func bareRedis(client *redis.Client) func(context.Context, string) error {
	return func(ctx context.Context, key string) error {
		token := rand.Text()
		keys := []string{"bare:" + key}
		err := bareClaim.Run(ctx, client, keys, token, lease.Seconds(), keep.Seconds()).Err()
		if err != nil {
			return err
		}
		return bareComplete.Run(ctx, client, keys, token, keep.Seconds()).Err()
	}
}

// fillRedis returns a function that handles a key and copies it.
func fillRedis(client *redis.Client) func(context.Context, int) error {
	const prefix = "geminihook:" // the default of redisstore
	const script = `
		local id = redis.call('DUMP', KEYS[1])
		for i = ARGV[1], ARGV[2] do
			redis.call('RESTORE', ARGV[3] .. redis.sha1hex(i), 3600000, id)
		end`
	return func(ctx context.Context, ids int) error {
		s := subject{store: redisstore.New(client)}
		key := newKey()
		if err := s.acquire(ctx, key); err != nil {
			return err
		}
		for i := 1; i < ids; i += 1000 {
			last := min(i+999, ids-1)
			err := client.Eval(ctx, script, []string{prefix + key}, i, last, prefix).Err()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
		}
		return nil
	}
}

// redisInfo returns a function that reads a number in a section of INFO.
func redisInfo(client *redis.Client, section, name string) func(context.Context) (float64, error) {
	const script = "return tonumber(string.match(redis.call('INFO', ARGV[1]), ARGV[2] .. ':(%d+)'))"
	return func(ctx context.Context) (float64, error) {
		return client.Do(ctx, "EVAL", script, 0, section, name).Float64()
	}
}

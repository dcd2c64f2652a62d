// Package redisstore is a [geminihook.Store] in Redis, for several instances
// that share it. Begin with [New]:
//
//	endpoint := &geminihook.Endpoint{
//		Verifier: verifier,
//		Store:    redisstore.New(redis.NewClient(&redis.Options{Addr: "localhost:6379"})),
//	}
//
// Each call is one script and one round trip, on one key, and so works on a
// cluster. Redis' own clock decides.
//
// Redis must not evict (maxmemory-policy noeviction), and can forget what it
// acknowledged when it restarts without its log or fails over: then an event
// may be handled again. The README says which settings keep how much.
package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/redis/go-redis/v9"
)

// DefaultPrefix is put before every key where Store.Prefix is empty.
const DefaultPrefix = "geminihook:"

// Store is a geminihook.Store in Redis 6 or newer. Make it with New. An id
// takes one hash, which expires by itself.
type Store struct {
	Prefix string // put before every key; empty means DefaultPrefix

	client redis.UniversalClient
}

// New returns a Store that uses the client: of one server, of a sentinel, or of
// a cluster. The caller closes the client.
func New(client redis.UniversalClient) *Store { return &Store{client: client} }

// The hash of an id: s is c while claimed, r once released, d once done; t is
// the token; l the end of the lease in microseconds; a the count of attempts.
var (
	// The driver sends a command again if its answer was lost: a claim knows
	// its own token, and is still the winner.
	claimScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state, token, lease, attempt = unpack(redis.call('HMGET', KEYS[1], 's', 't', 'l', 'a'))
if state == 'd' then return {'d', 0} end
if state == 'c' and tonumber(lease) > now then
	if token == ARGV[1] then return {'a', tonumber(attempt)} end
	return {'c', tonumber(lease) - now}
end
attempt = (tonumber(attempt) or 0) + 1
redis.call('HSET', KEYS[1], 's', 'c', 't', ARGV[1], 'l', string.format('%.0f', now + ARGV[2]), 'a', attempt)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'a', attempt}`)

	completeScript = redis.NewScript(`
local state, token = unpack(redis.call('HMGET', KEYS[1], 's', 't'))
if token ~= ARGV[1] then return 0 end
if state == 'c' then
	redis.call('HSET', KEYS[1], 's', 'd')
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1`)

	releaseScript = redis.NewScript(`
local state, token = unpack(redis.call('HMGET', KEYS[1], 's', 't'))
if token ~= ARGV[1] or state ~= 'c' then return 0 end
redis.call('HSET', KEYS[1], 's', 'r')
redis.call('HDEL', KEYS[1], 't', 'l')
return 1`)
)

// Claim implements geminihook.Store.
func (s *Store) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	token := rand.Text()
	reply, err := s.run(ctx, claimScript, key, token, lease.Microseconds(), milliseconds(max(lease, keep))).Slice()
	if err != nil {
		return geminihook.Claim{}, failure(err)
	}
	var state string
	var n int64
	if len(reply) == 2 {
		state, _ = reply[0].(string)
		n, _ = reply[1].(int64)
	}
	switch state {
	case "a":
		return geminihook.Claim{State: geminihook.Acquired, Token: token, Attempt: int(n)}, nil
	case "c":
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Duration(n) * time.Microsecond}, nil
	case "d":
		return geminihook.Claim{State: geminihook.Done}, nil
	}
	return geminihook.Claim{}, errors.New("redisstore: Redis gave no answer that the script gives")
}

// Complete implements geminihook.Store.
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return held(s.run(ctx, completeScript, key, token, milliseconds(keep)))
}

// Release implements geminihook.Store.
func (s *Store) Release(ctx context.Context, key, token string) error {
	return held(s.run(ctx, releaseScript, key, token))
}

// run runs the script, and returns when the context ends, which the client does
// only if its options say so. What it does later is safe: a claim that nobody
// waits for lapses with its lease.
func (s *Store) run(ctx context.Context, script *redis.Script, key string, args ...any) *redis.Cmd {
	if err := ctx.Err(); err != nil {
		return ended(ctx)
	}
	prefix := s.Prefix
	if prefix == "" {
		prefix = DefaultPrefix
	}
	reply := make(chan *redis.Cmd, 1)
	go func() { reply <- script.Run(ctx, s.client, []string{prefix + key}, args...) }()
	select {
	case cmd := <-reply:
		return cmd
	case <-ctx.Done():
		return ended(ctx)
	}
}

func ended(ctx context.Context) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(context.Cause(ctx))
	return cmd
}

func held(cmd *redis.Cmd) error {
	n, err := cmd.Int()
	switch {
	case err != nil:
		return failure(err)
	case n == 0:
		return geminihook.ErrLeaseLost
	}
	return nil
}

func failure(err error) error { return fmt.Errorf("redisstore: %w", err) }

// milliseconds rounds up: nothing is forgotten too early.
func milliseconds(d time.Duration) int64 {
	return max(1, int64((d-1)/time.Millisecond)+1)
}

// Package redisstore is a [geminihook.Store] in Redis or Valkey, for several
// instances that share it. Start with [New], and with [Store.Check], which
// refuses a server that may evict keys:
//
//	store := redisstore.New(redis.NewClient(&redis.Options{Addr: "localhost:6379"}))
//	if err := store.Check(ctx); err != nil {
//		return err
//	}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: store}
//
// Each call is one script, one round trip and one key, and therefore works on a
// cluster. The server's clock decides when a lease ends.
//
// Redis can forget what it has acknowledged when it restarts without
// persistence or fails over to a replica. The event may then be handled again.
// The README lists which settings keep how much.
package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/redis/go-redis/v9"
)

// DefaultPrefix is the value of [Store.Prefix] if it is empty.
const DefaultPrefix = "geminihook:"

// Store is a [geminihook.Store] and a [geminihook.Renewer] in Redis 6 or newer,
// or Valkey. Create it with [New]. Each event is one hash, which expires by itself.
type Store struct {
	// Prefix is put before every key. Empty means DefaultPrefix.
	Prefix string

	client redis.UniversalClient
	ghosts ghosts
}

// New returns a Store that uses the client, which may be connected to one
// server, to one behind Sentinel, or to a cluster. The caller closes the client.
func New(client redis.UniversalClient) *Store { return &Store{client: client} }

// Claim implements [geminihook.Store]. If it fails, and the server has acquired
// the claim or does so later, the claim is released in the background.
func (s *Store) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	if ctx.Err() != nil {
		return geminihook.Claim{}, failure(context.Cause(ctx))
	}
	token := rand.Text()
	cmd, err := s.run(ctx, claimScript, key, token, lease.Microseconds(), milliseconds(max(lease, keep)))
	if err != nil {
		if mayHaveRun(err) {
			s.release(ghost{key: key, token: token, until: time.Now().Add(lease)})
		}
		return geminihook.Claim{}, failure(err)
	}
	reply, _ := cmd.Slice()
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
	return geminihook.Claim{}, errors.New("redisstore: the server's reply is none that the script returns")
}

// Complete implements [geminihook.Store].
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return held(s.run(ctx, completeScript, key, token, milliseconds(keep)))
}

// Release implements [geminihook.Store]. It succeeds even after the lease has
// expired, unless another claim has taken the key.
func (s *Store) Release(ctx context.Context, key, token string) error {
	return held(s.run(ctx, releaseScript, key, token))
}

// Renew implements [geminihook.Renewer].
func (s *Store) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	return held(s.run(ctx, renewScript, key, token, lease.Microseconds(), milliseconds(lease)))
}

func (s *Store) run(ctx context.Context, script *redis.Script, key string, args ...any) (*redis.Cmd, error) {
	cmd, err := await(ctx, func() *redis.Cmd {
		return script.Run(ctx, s.client, []string{cmp.Or(s.Prefix, DefaultPrefix) + key}, args...)
	})
	if err != nil {
		return nil, err
	}
	return cmd, cmd.Err()
}

// await returns what f returns, or an error when the context ends before: the
// client ends its calls with the context only if its options say so. If the
// context has ended already, f is not called.
func await[T any](ctx context.Context, f func() T) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	result := make(chan T, 1)
	go func() { result <- f() }()
	select {
	case r := <-result:
		return r, nil
	case <-ctx.Done():
		return none, fmt.Errorf("the server did not reply in time: %w", context.Cause(ctx))
	}
}

func held(cmd *redis.Cmd, err error) error {
	if err != nil {
		return failure(err)
	}
	switch n, err := cmd.Int(); {
	case err != nil:
		return failure(err)
	case n == 0:
		return errTaken
	case n < 0:
		return errForgotten
	}
	return nil
}

func failure(err error) error { return fmt.Errorf("redisstore: %w", err) }

// milliseconds rounds up, so that nothing is forgotten too early.
func milliseconds(d time.Duration) int64 {
	return max(1, int64((d-1)/time.Millisecond)+1)
}

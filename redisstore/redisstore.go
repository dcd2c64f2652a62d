// Package redisstore is a [geminihook.Store] in Redis or Valkey, for several
// instances that share it. Start with [New], and with [Store.Check], which
// refuses a server or a client whose settings would let events run twice:
//
//	store := redisstore.New(redis.NewClient(&redis.Options{
//		Addr:                  "localhost:6379",
//		ContextTimeoutEnabled: true,
//	}))
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
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/redis/go-redis/v9"
)

// Store is a [geminihook.Store] in Redis 6 or newer, or Valkey. Create it with
// [New]. Each event is one hash, which expires by itself.
type Store struct {
	// Prefix is put before every key. Empty means "geminihook:".
	Prefix string

	client redis.UniversalClient

	mu       sync.Mutex
	reloaded time.Time // when the client was told to look at the cluster again
}

// New returns a Store that uses the client, which may be connected to one
// server, to one behind Sentinel, or to a cluster. ContextTimeoutEnabled must be
// set in the client's options: otherwise a call to a server that hangs takes
// longer than its context. The caller closes the client.
func New(client redis.UniversalClient) *Store { return &Store{client: client} }

// Claim implements [geminihook.Store].
func (s *Store) Claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	expiry := milliseconds(max(lease, keep))
	n, err := s.run(ctx, claimScript, key, token, lease.Microseconds(), expiry)
	switch {
	case err != nil:
		return geminihook.Claim{}, failure(err)
	case n > 0: // the number of the attempt
		return geminihook.Claim{State: geminihook.Acquired, Attempt: int(n)}, nil
	case n < 0: // minus the rest of the other claim's lease, in microseconds
		retryIn := time.Duration(-n) * time.Microsecond
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: retryIn}, nil
	}
	return geminihook.Claim{State: geminihook.Done}, nil // zero
}

// Renew implements [geminihook.Store].
func (s *Store) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	return checkHeld(s.run(ctx, renewScript, key, token, lease.Microseconds(), milliseconds(lease)))
}

// Complete implements [geminihook.Store].
func (s *Store) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return checkHeld(s.run(ctx, completeScript, key, token, milliseconds(keep)))
}

// Release implements [geminihook.Store].
func (s *Store) Release(ctx context.Context, key, token string) error {
	return checkHeld(s.run(ctx, releaseScript, key, token))
}

// run runs the script on the key and returns its result. The result of claimScript
// is positive if the key was acquired, zero if it is done, and negative if it is in
// progress. That of every other script is held if the token had the key; otherwise it
// is notHeld or unknownKey.
func (s *Store) run(
	ctx context.Context, script *redis.Script, key string, args ...any,
) (int64, error) {
	n, err := script.Run(ctx, s.client, []string{s.prefix() + key}, args...).Int64()
	if err != nil && !replied(err) {
		s.reload(ctx)
	}
	return n, err
}

func (s *Store) prefix() string { return cmp.Or(s.Prefix, "geminihook:") }

// reload tells the client of a cluster to ask which servers are its masters, at
// most once per second. By itself, the client asks once per minute, and until then
// tries a master that is gone.
func (s *Store) reload(ctx context.Context) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.reloaded) >= time.Second {
		s.reloaded = time.Now()
		cluster.ReloadState(ctx) // in the background
	}
}

// replied reports whether err is a reply of the server.
func replied(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// checkHeld returns the error for the result of a script that works only if the
// token has the key.
func checkHeld(n int64, err error) error {
	switch {
	case err != nil:
		return failure(err)
	case n == held:
		return nil
	case n == unknownKey:
		return errUnknownKey
	}
	return errNotHeld // n is notHeld
}

func failure(err error) error { return fmt.Errorf("redisstore: %w", err) }

// milliseconds rounds up, so that nothing is forgotten too early.
func milliseconds(d time.Duration) int64 {
	return max(1, int64((d-1)/time.Millisecond)+1)
}

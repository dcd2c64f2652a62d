package redisstore_test

import (
	"crypto/rand"
	"encoding/hex"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRoundTrips tests that each transition is one round trip, once the server
// knows the scripts.
func TestRoundTrips(t *testing.T) {
	var trips testserver.RoundTrips
	c := client(t, server.Redis(t).URL, func(o *redis.Options) { o.Dialer = trips.Dial })
	s := redisstore.New(c)
	s.Prefix = t.Name() + time.Now().String()
	cycle := func(key string) {
		_, err := s.Claim(t.Context(), key, "first", time.Minute, time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Release(t.Context(), key, "first"))
		_, err = s.Claim(t.Context(), key, "second", time.Minute, time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Renew(t.Context(), key, "second", time.Hour))
		require.NoError(t, s.Complete(t.Context(), key, "second", time.Hour))
	}
	cycle("warm")
	trips.Count()
	cycle("msg_1")
	assert.Equal(t, 5, trips.Count())
	claim, err := s.Claim(t.Context(), "msg_1", "third", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Done, claim.State)
	assert.Equal(t, 1, trips.Count(), "a duplicate")
}

// TestScriptsForgotten tests that a server that was restarted, or told to forget
// its scripts, learns them again.
func TestScriptsForgotten(t *testing.T) {
	redisServer := testserver.NewRedis(t)
	c := client(t, redisServer.URL)
	s := redisstore.New(c)
	for range 2 {
		claim, err := s.Claim(t.Context(), "msg_1", "token", time.Minute, time.Hour)
		require.NoError(t, err)
		require.Equal(t, geminihook.Acquired, claim.State)
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		require.NoError(t, s.Release(t.Context(), "msg_1", "token"))
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
	}
	keys, err := c.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	assert.Equal(t, []string{"geminihook:msg_1"}, keys)
	ttl, err := c.PTTL(t.Context(), keys[0]).Result()
	require.NoError(t, err)
	assert.Positive(t, ttl, "what is not completed expires too")
}

// TestForgotten tests what is said of a claim that the server does not have any
// more: that, and not that somebody else took over.
func TestForgotten(t *testing.T) {
	redisServer := testserver.NewRedis(t)
	s := redisstore.New(client(t, redisServer.URL))
	_, err := s.Claim(t.Context(), "msg_1", "token", time.Hour, time.Hour)
	require.NoError(t, err)
	require.NoError(t, redisServer.Kill())
	require.NoError(t, redisServer.Start())
	for name, call := range calls(t, s, "msg_1", "token") {
		err := call()
		require.ErrorIs(t, err, geminihook.ErrLeaseLost, name)
		require.ErrorContains(t, err, "the server does not have the key", name)
	}
	_, err = s.Claim(t.Context(), "msg_1", "another", time.Hour, time.Hour)
	require.NoError(t, err)
	for name, call := range calls(t, s, "msg_1", "token") {
		err := call()
		require.ErrorIs(t, err, geminihook.ErrLeaseLost, name)
		require.ErrorContains(t, err, "another claim has taken it", name)
	}
}

// calls are those that only the holder of the token can make.
func calls(t *testing.T, s *redisstore.Store, key, token string) map[string]func() error {
	t.Helper()
	return map[string]func() error{
		"Complete": func() error { return s.Complete(t.Context(), key, token, time.Hour) },
		"Release":  func() error { return s.Release(t.Context(), key, token) },
		"Renew":    func() error { return s.Renew(t.Context(), key, token, time.Hour) },
	}
}

// TestRenew tests that a renewed lease ends when it should, and that the entry
// is not forgotten before, nor earlier than without.
func TestRenew(t *testing.T) {
	c := client(t, server.Redis(t).URL)
	s := store(t, server.Redis(t).URL)
	left := func(key string) time.Duration {
		d, err := c.PTTL(t.Context(), s.Prefix+key).Result()
		require.NoError(t, err)
		return d
	}
	_, err := s.Claim(t.Context(), "short", "token", time.Minute, time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.Renew(t.Context(), "short", "token", time.Hour))
	assert.Greater(t, left("short"), 30*time.Minute, "kept as long as the lease")
	again, err := s.Claim(t.Context(), "short", "another", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.InProgress, again.State)
	assert.Greater(t, again.RetryIn, 30*time.Minute)

	_, err = s.Claim(t.Context(), "long", "token", time.Hour, 24*time.Hour)
	require.NoError(t, err)
	require.NoError(t, s.Renew(t.Context(), "long", "token", time.Microsecond))
	assert.Greater(t, left("long"), 23*time.Hour, "kept as long as before")
	for range 2 { // also after the lease has expired
		require.NoError(t, s.Renew(t.Context(), "long", "token", time.Microsecond))
	}
	require.Eventually(t, func() bool {
		again, err = s.Claim(t.Context(), "long", "another", time.Hour, time.Hour)
		require.NoError(t, err)
		return again.State == geminihook.Acquired
	}, time.Minute, time.Millisecond)
	assert.Equal(t, 2, again.Attempt)
	require.ErrorIs(t, s.Renew(t.Context(), "long", "token", time.Hour), geminihook.ErrLeaseLost)
	require.NoError(t, s.Complete(t.Context(), "long", "another", time.Hour))
	err = s.Renew(t.Context(), "long", "another", time.Hour)
	require.ErrorIs(t, err, geminihook.ErrLeaseLost, "it is done")
}

// TestLateRelease tests that Release succeeds after the lease has expired, and
// keeps the count.
func TestLateRelease(t *testing.T) {
	s := store(t, server.Redis(t).URL)
	_, err := s.Claim(t.Context(), "msg_1", "token", 0, time.Hour)
	require.NoError(t, err)
	require.NoError(t, s.Release(t.Context(), "msg_1", "token"))
	again, err := s.Claim(t.Context(), "msg_1", "another", time.Hour, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, again.State)
	assert.Equal(t, 2, again.Attempt)
}

// TestFullMemory tests that what was claimed before the memory was full is
// completed, released and renewed, and that the rest fails without harm.
func TestFullMemory(t *testing.T) {
	c := client(t, server.Redis(t).URL)
	store := store(t, server.Redis(t).URL)
	for _, key := range []string{"complete", "release", "renew"} {
		_, err := store.Claim(t.Context(), key, "token", time.Hour, time.Hour)
		require.NoError(t, err)
	}
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
	full := true
	roomy := func() {
		if full {
			full = false
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
		}
	}
	defer roomy()
	require.ErrorContains(t, c.Set(t.Context(), "more", "1", time.Second).Err(), "OOM")

	_, err := store.Claim(t.Context(), "new", "another", time.Hour, time.Hour)
	require.ErrorContains(t, err, "OOM")
	for range 2 {
		require.NoError(t, store.Complete(t.Context(), "complete", "token", time.Hour))
	}
	claim, err := store.Claim(t.Context(), "complete", "another", time.Hour, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Done, claim.State)
	require.NoError(t, store.Renew(t.Context(), "renew", "token", 2*time.Hour))
	claim, err = store.Claim(t.Context(), "renew", "another", time.Hour, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.InProgress, claim.State)
	assert.Greater(t, claim.RetryIn, time.Hour)
	require.NoError(t, store.Release(t.Context(), "release", "token"))
	_, err = store.Claim(t.Context(), "release", "another", time.Hour, time.Hour)
	require.ErrorContains(t, err, "OOM")

	roomy()
	claim, err = store.Claim(t.Context(), "release", "another", time.Hour, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, claim.State)
	assert.Equal(t, 2, claim.Attempt)
}

// BenchmarkMemory reports the memory that the server uses per event, for keys
// as Endpoint makes them.
func BenchmarkMemory(b *testing.B) {
	const events = 100_000
	c := client(b, testserver.NewRedis(b).URL)
	store := redisstore.New(c)
	used := func() float64 {
		const script = "return tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))"
		n, err := c.Eval(b.Context(), script, nil).Float64()
		require.NoError(b, err)
		return n
	}
	for _, bb := range []struct {
		name string
		end  func(key, token string) error
	}{
		{"claimed", func(string, string) error { return nil }},
		{"released", func(key, token string) error { return store.Release(b.Context(), key, token) }},
		{"done", func(key, token string) error { return store.Complete(b.Context(), key, token, 7*24*time.Hour) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, c.Do(b.Context(), "FLUSHALL", "SYNC").Err())
				before := used()
				for range events {
					key, token := "v1:msg_"+uuid(), rand.Text()
					_, err := store.Claim(b.Context(), key, token, time.Minute, 7*24*time.Hour)
					require.NoError(b, err)
					require.NoError(b, bb.end(key, token))
				}
				b.ReportMetric((used()-before)/events, "B/event")
			}
		})
	}
}

// uuid has the form of those in webhook-id.
func uuid() string {
	h := hex.EncodeToString([]byte(rand.Text())[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

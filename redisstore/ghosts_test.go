package redisstore_test

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGhostClaims tests that claims which a hanging server acquired after their
// contexts had ended, or whose replies were lost, do not block the events until
// the lease ends.
func TestGhostClaims(t *testing.T) {
	const events = 20
	for _, tt := range []struct {
		name   string
		change func(*redis.Options)
	}{
		{"the context ends", func(*redis.Options) {}},
		{"the client gives up", func(o *redis.Options) {
			o.ReadTimeout = 50 * time.Millisecond
			o.MaxRetries = -1
		}},
		{"the client ends with the context", func(o *redis.Options) { o.ContextTimeoutEnabled = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := testserver.NewRedis(t)
			proxy := testserver.NewProxy(t, server.Addr)
			proxied := client(t, "redis://"+proxy.Addr, func(o *redis.Options) { o.PoolSize = events + 1 }, tt.change)
			store := redisstore.New(proxied)
			claim := func(ctx context.Context, i int) error {
				_, err := store.Claim(ctx, strconv.Itoa(i), time.Hour, time.Hour)
				return err
			}
			held := events
			require.Eventually(t, func() bool { // on a slow machine, this claim can exceed the ReadTimeout, too
				held++
				return claim(t.Context(), held) == nil
			}, time.Minute, 10*time.Millisecond)
			warm(t, proxied, events+1) // one for the release of a claim that exceeded it
			release := proxy.Hold()
			defer release()
			var all sync.WaitGroup
			errs := make([]error, events)
			for i := range events {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					errs[i] = claim(ctx, i)
				})
			}
			all.Wait()
			for _, err := range errs {
				require.Error(t, err)
			}
			release()
			other := redisstore.New(client(t, server.URL))
			direct := client(t, server.URL)
			for i := range events {
				require.Eventually(t, func() bool {
					n, err := direct.HLen(t.Context(), redisstore.DefaultPrefix+strconv.Itoa(i)).Result()
					require.NoError(t, err)
					return n == 1 // acquired and released: only the count is left
				}, time.Minute, 10*time.Millisecond)
				c, err := other.Claim(t.Context(), strconv.Itoa(i), time.Hour, time.Hour)
				require.NoError(t, err)
				assert.Equal(t, geminihook.Acquired, c.State)
			}
			c, err := other.Claim(t.Context(), strconv.Itoa(held), time.Hour, time.Hour)
			require.NoError(t, err)
			assert.Equal(t, geminihook.InProgress, c.State, "the claim that was answered is still held")
		})
	}
}

// TestGhostsEnd tests that nothing is tried forever: not after the client was
// closed, and not after the lease of a claim that was never acquired.
func TestGhostsEnd(t *testing.T) {
	closed := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	_, err := redisstore.New(closed).Claim(t.Context(), "msg_1", time.Hour, time.Hour)
	require.Error(t, err)
	require.NoError(t, closed.Close())

	broken := client(t, server.Redis(t).URL)
	broken.AddHook(failOnce{new(atomic.Bool)})
	_, err = redisstore.New(broken).Claim(t.Context(), "msg_1", time.Millisecond, time.Hour)
	require.ErrorIs(t, err, assert.AnError)

	require.Eventually(t, func() bool {
		stacks := make([]byte, 1<<20)
		return !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("releaseAll"))
	}, time.Minute, 10*time.Millisecond)
}

// failOnce fails the first command without sending it.
type failOnce struct{ failed *atomic.Bool }

func (f failOnce) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f failOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f failOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !f.failed.Swap(true) {
			cmd.SetErr(assert.AnError)
			return assert.AnError
		}
		return next(ctx, cmd)
	}
}

// warm opens connections that stay in the client's pool.
func warm(t *testing.T, c *redis.Client, connections int) {
	t.Helper()
	var all []*redis.Conn
	require.Eventually(t, func() bool { // a slow machine can exceed the client's ReadTimeout
		conn := c.Conn()
		if conn.Ping(t.Context()).Err() != nil {
			_ = conn.Close()
			return false
		}
		all = append(all, conn)
		return len(all) == connections
	}, time.Minute, time.Millisecond)
	for _, conn := range all {
		require.NoError(t, conn.Close())
	}
}

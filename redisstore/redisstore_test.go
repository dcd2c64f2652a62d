package redisstore_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func client(t testing.TB, url string, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	options.ContextTimeoutEnabled = true
	for _, f := range change {
		f(options)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// store returns a store with a prefix that no other test uses.
func store(t testing.TB, url string) *redisstore.Store {
	t.Helper()
	s := redisstore.New(client(t, url))
	s.Prefix = t.Name() + time.Now().String() + ":"
	return s
}

// hung returns a store whose server accepts connections and never responds.
func hung(t *testing.T) geminihook.Store {
	t.Helper()
	proxy := testserver.NewProxy(t, server.Redis(t).Addr)
	t.Cleanup(proxy.Hold())
	return redisstore.New(client(t, "redis://"+proxy.Addr))
}

func TestStore(t *testing.T) {
	storetest.Suite{
		New: func(t *testing.T) geminihook.Store { return store(t, server.Redis(t).URL) },
		Second: func(t *testing.T, first geminihook.Store) geminihook.Store {
			second := redisstore.New(client(t, server.Redis(t).URL))
			second.Prefix = first.(*redisstore.Store).Prefix
			return second
		},
		Gone: hung,
	}.Run(t)
}

// TestACL tests that the permissions that the README names are enough.
func TestACL(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	command := regexp.MustCompile(`(?m)^ACL SETUSER .*$`).Find(readme)
	require.NotEmpty(t, command)
	redisServer := testserver.NewRedis(t)
	var args []any
	for _, word := range strings.Fields(string(command)) {
		args = append(args, strings.ReplaceAll(word, "<password>", "secret"))
	}
	require.NoError(t, client(t, redisServer.URL).Do(t.Context(), args...).Err())
	var refused []string
	c := client(t, redisServer.URL, func(o *redis.Options) {
		o.Username, o.Password = "geminihook", "secret"
	})
	s := redisstore.New(c)
	for _, key := range []string{"released", "completed"} {
		require.NoError(t, s.Check(t.Context()))
		_, err := s.Claim(t.Context(), key, "token", time.Minute, time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Renew(t.Context(), key, "token", time.Hour))
		if key == "completed" {
			require.NoError(t, s.Complete(t.Context(), key, "token", time.Hour))
			continue
		}
		require.NoError(t, s.Release(t.Context(), key, "token"))
	}
	s.Prefix = "elsewhere:"
	_, err = s.Claim(t.Context(), "msg_1", "token", time.Minute, time.Hour)
	require.Error(t, err, "other keys are not permitted")
	require.Error(t, c.FlushAll(t.Context()).Err())
	log, err := client(t, redisServer.URL).ACLLog(t.Context(), 100).Result()
	require.NoError(t, err)
	for _, entry := range log {
		if entry.Object != "client|setinfo" { // Redis 7.2 has it; the driver does without
			refused = append(refused, entry.Object)
		}
	}
	assert.ElementsMatch(t, []string{"elsewhere:msg_1", "flushall"}, refused, "nothing else was refused")
}

// TestHangs tests that a server that hangs does not make the sender wait, and
// that nothing has to be done when it continues.
func TestHangs(t *testing.T) {
	proxy := testserver.NewProxy(t, testserver.NewRedis(t).Addr)
	c := client(t, "redis://"+proxy.Addr)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Store: redisstore.New(c), StoreTimeout: 100 * time.Millisecond,
	}
	runs := 0
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error {
		runs++
		return nil
	})
	deliver := func() int {
		signer := webhooktest.Static(webhooktest.TestSecret)
		d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/"))
		return w.Code
	}
	// On a slow machine, a call can take longer than the StoreTimeout.
	succeeds := func() bool { return deliver() == http.StatusOK }
	require.Eventually(t, succeeds, time.Minute, 10*time.Millisecond)
	before := runs
	release := proxy.Hold()
	assert.Equal(t, http.StatusServiceUnavailable, deliver())
	release()
	require.Eventually(t, succeeds, time.Minute, 10*time.Millisecond)
	assert.Greater(t, runs, before)
}

// TestUnknownOutcome tests that a claim whose reply was lost can be repeated and
// released with its token.
func TestUnknownOutcome(t *testing.T) {
	s := store(t, server.Redis(t).URL)
	claim := func(token string) geminihook.Claim {
		c, err := s.Claim(t.Context(), "msg_1", token, time.Hour, time.Hour)
		require.NoError(t, err)
		return c
	}
	claim("lost")
	assert.Equal(t, geminihook.InProgress, claim("other").State)
	assert.Equal(t, geminihook.Claim{State: geminihook.Acquired, Attempt: 1}, claim("lost"))
	require.NoError(t, s.Release(t.Context(), "msg_1", "lost"))
	assert.Equal(t, geminihook.Claim{State: geminihook.Acquired, Attempt: 2}, claim("other"))
}

// TestReleaseTwice tests that the error of a Release that the client sent twice
// does not claim more than is known.
func TestReleaseTwice(t *testing.T) {
	s := store(t, server.Redis(t).URL)
	_, err := s.Claim(t.Context(), "msg_1", "token", time.Hour, time.Hour)
	require.NoError(t, err)
	require.NoError(t, s.Release(t.Context(), "msg_1", "token"))
	err = s.Release(t.Context(), "msg_1", "token")
	require.ErrorIs(t, err, geminihook.ErrLeaseLost)
	require.ErrorContains(t, err, "perhaps by this call")
}

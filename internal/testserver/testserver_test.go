//go:build linux

package testserver_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// childVariable makes the test binary start a server and then end as it says.
const childVariable = "TESTSERVER_TEST_CHILD"

var shared testserver.Shared

func TestMain(m *testing.M) {
	if how := os.Getenv(childVariable); how != "" {
		child(how)
	}
	os.Exit(shared.Main(m))
}

func child(how string) {
	s, err := testserver.StartRedis("")
	if how == "postgres" {
		s, err = testserver.StartPostgres("")
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Addr, s.Dir)
	_, _ = io.Copy(io.Discard, os.Stdin)
	panic("a test panics")
}

// redis runs a command and returns what it prints.
func redis(t *testing.T, s *testserver.Server, command ...string) string {
	t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-u", s.URL}, command...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

// psql runs a statement and returns what it prints.
func psql(t *testing.T, s *testserver.Server, statement string) string {
	t.Helper()
	out, err := exec.Command("psql", "--no-psqlrc", "-At", "-c", statement, s.URL).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func refused(t *testing.T, addr string) {
	t.Helper()
	_, err := net.Dial("tcp", addr)
	require.Error(t, err)
}

func TestRedis(t *testing.T) {
	s := testserver.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	require.Equal(t, "OK", redis(t, s, "SET", "k", "v"))
	require.ErrorContains(t, s.Start(), "running")
	for name, end := range map[string]func() error{"Stop": s.Stop, "Kill": s.Kill} {
		require.NoError(t, end(), name)
		refused(t, s.Addr)
		require.ErrorContains(t, end(), "not running")
		require.NoError(t, s.Start(), name)
		assert.Equal(t, "v", redis(t, s, "GET", "k"), name)
	}
}

func TestRedisKeepsNothing(t *testing.T) {
	s := testserver.NewRedis(t)
	redis(t, s, "SET", "k", "v")
	require.NoError(t, s.Stop())
	require.NoError(t, s.Start())
	assert.Empty(t, redis(t, s, "GET", "k"))
	assert.Contains(t, redis(t, s, "CONFIG", "GET", "maxmemory-policy"), "noeviction")
}

func TestPostgres(t *testing.T) {
	s := testserver.NewPostgres(t)
	psql(t, s, "create table t as select 42 as n")
	assert.Equal(t, "off", psql(t, s, "show fsync"))
	for name, end := range map[string]func() error{"Stop": s.Stop, "Kill": s.Kill} {
		require.NoError(t, end(), name)
		refused(t, s.Addr)
		require.NoError(t, s.Start(), name)
		assert.Equal(t, "42", psql(t, s, "select n from t"), name)
	}
}

func TestFolder(t *testing.T) {
	t.Run("of the caller stays", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new")
		require.NoError(t, os.MkdirAll(dir, 0o700))
		for range 2 {
			s, err := testserver.StartRedis(dir, "--appendonly", "yes")
			require.NoError(t, err)
			redis(t, s, "INCR", "n")
			require.NoError(t, s.Stop())
			require.NoError(t, s.Close())
		}
		s, err := testserver.StartRedis(dir, "--appendonly", "yes")
		require.NoError(t, err)
		assert.Equal(t, "3", redis(t, s, "INCR", "n"))
		require.NoError(t, s.Close())
	})
	t.Run("temporary goes", func(t *testing.T) {
		s, err := testserver.StartPostgres("", "-c", "fsync=on")
		require.NoError(t, err)
		assert.Equal(t, "on", psql(t, s, "show fsync"))
		require.NoError(t, s.Close())
		refused(t, s.Addr)
		assert.NoDirExists(t, s.Dir)
	})
}

func TestStartFails(t *testing.T) {
	_, err := testserver.StartRedis("", "--no-such-option", "1")
	require.ErrorContains(t, err, "no-such-option", "its log says why")
	_, err = testserver.StartPostgres("", "-c", "no_such_setting=1")
	require.ErrorContains(t, err, "no_such_setting")
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := testserver.StartRedis("")
	require.ErrorContains(t, err, "package redis-server")
}

func TestEnvironment(t *testing.T) {
	t.Setenv("REDIS_URL", "redis://elsewhere:1/0")
	t.Setenv("DATABASE_URL", "postgres://elsewhere:1/x")
	for _, s := range []*testserver.Server{testserver.Redis(t), testserver.Postgres(t)} {
		assert.Contains(t, s.URL, "elsewhere")
		require.ErrorContains(t, s.Stop(), "environment")
		require.ErrorContains(t, s.Kill(), "environment")
		require.ErrorContains(t, s.Start(), "environment")
		require.NoError(t, s.Close())
	}
	assert.NotContains(t, testserver.NewRedis(t).URL, "elsewhere")
}

func TestShared(t *testing.T) {
	one, two := shared.Postgres(t), shared.Postgres(t)
	assert.Same(t, one, two)
	u, err := url.Parse(one.URL)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", u.Hostname())
}

// TestWatchdog: a server ends, and its folder goes, with the process that
// started it, although that ends without a chance to clean up.
func TestWatchdog(t *testing.T) {
	for _, how := range []string{"redis", "postgres", "killed"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVariable+"="+how)
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var addr, dir string
			_, err = fmt.Fscanln(out, &addr, &dir)
			require.NoError(t, err)
			require.DirExists(t, dir)
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			if how == "killed" {
				require.NoError(t, cmd.Process.Kill())
			} else {
				require.NoError(t, in.Close())
			}
			require.Error(t, cmd.Wait())
			assert.Eventually(t, func() bool {
				_, err := os.Stat(dir)
				return os.IsNotExist(err)
			}, time.Minute, 10*time.Millisecond)
			refused(t, addr)
		})
	}
}

//go:build linux

package testserver_test

import (
	"fmt"
	"io"
	"net"
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

// childVariable makes the test binary start that server and wait to be killed.
const childVariable = "TESTSERVER_TEST_CHILD"

var shared testserver.Shared

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "redis":
		child(testserver.StartRedis())
	case "postgres":
		child(testserver.StartPostgres())
	case "mysql":
		child(testserver.StartMySQL())
	}
	os.Exit(shared.Main(m))
}

func child(s *testserver.Server, err error) {
	fmt.Println(s.Addr, s.Dir, err)
	_, _ = io.Copy(io.Discard, os.Stdin)
	panic("a test panics")
}

// client runs a client of the server and returns what it prints.
func client(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func redis(t *testing.T, s *testserver.Server, command ...string) string {
	t.Helper()
	return client(t, "redis-cli", append([]string{"-u", s.URL}, command...)...)
}

func psql(t *testing.T, s *testserver.Server, statement string) string {
	t.Helper()
	return client(t, "psql", "--no-psqlrc", "-At", "-c", statement, s.URL)
}

func mysql(t *testing.T, s *testserver.Server, statement string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	require.NoError(t, err)
	return client(t, "mariadb", "--no-defaults", "-h", host, "-P", port,
		"-u", "test", "-N", "-B", "-e", statement, "test")
}

func refused(t *testing.T, addr string) {
	t.Helper()
	_, err := net.Dial("tcp", addr)
	require.Error(t, err)
}

func TestStopAndKill(t *testing.T) {
	redisServer := testserver.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	redis(t, redisServer, "SET", "k", "42")
	postgres := testserver.NewPostgres(t)
	psql(t, postgres, "create table t as select 42 as n")
	mariadb := testserver.NewMySQL(t)
	mysql(t, mariadb, "create table t as select 42 as n")
	tests := map[string]struct {
		server *testserver.Server
		end    func() error
		read   func() string
	}{
		"stop Redis":      {redisServer, redisServer.Stop, func() string { return redis(t, redisServer, "GET", "k") }},
		"kill Redis":      {redisServer, redisServer.Kill, func() string { return redis(t, redisServer, "GET", "k") }},
		"stop PostgreSQL": {postgres, postgres.Stop, func() string { return psql(t, postgres, "select n from t") }},
		"kill PostgreSQL": {postgres, postgres.Kill, func() string { return psql(t, postgres, "select n from t") }},
		"stop MariaDB":    {mariadb, mariadb.Stop, func() string { return mysql(t, mariadb, "select n from t") }},
		"kill MariaDB":    {mariadb, mariadb.Kill, func() string { return mysql(t, mariadb, "select n from t") }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, tt.server.Start(), "is running")
			require.NoError(t, tt.end())
			refused(t, tt.server.Addr)
			require.ErrorContains(t, tt.end(), "not running")
			require.NoError(t, tt.server.Start())
			assert.Equal(t, "42", tt.read(), "the data is still there")
		})
	}
}

// TestPortTaken: a server whose port another program has is not taken for one that
// is ready, although that program responds like one. It starts when the port is free.
func TestPortTaken(t *testing.T) {
	redisServer, mariadb := testserver.NewRedis(t), testserver.NewMySQL(t)
	for name, tt := range map[string]struct {
		server   *testserver.Server
		response string // of the other program
		read     func() string
	}{
		"Redis":   {redisServer, "+PONG\r\n", func() string { return redis(t, redisServer, "ECHO", "42") }},
		"MariaDB": {mariadb, "\x01\x00\x00\x00\x0a", func() string { return mysql(t, mariadb, "select 42") }},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, tt.server.Stop())
			other, err := net.Listen("tcp", tt.server.Addr)
			require.NoError(t, err)
			defer func() { _ = other.Close() }()
			go func() {
				for {
					conn, err := other.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(conn, tt.response)
					_ = conn.Close()
				}
			}()
			started := make(chan error, 1)
			go func() { started <- tt.server.Start() }()
			require.Eventually(t, func() bool {
				log, err := os.ReadFile(filepath.Join(tt.server.Dir, "server.log"))
				return err == nil && strings.Contains(string(log), "Address already in use")
			}, time.Minute, time.Millisecond)
			require.Empty(t, started, "it is not ready")
			require.NoError(t, other.Close())
			require.NoError(t, <-started)
			assert.Equal(t, "42", tt.read())
		})
	}
}

// TestFreePort: no connection, and no server that leaves the choice to the system,
// takes the port while a server on it restarts.
func TestFreePort(t *testing.T) {
	for range 100 {
		port, err := testserver.FreePort()
		require.NoError(t, err)
		require.Less(t, port, 32768, "systems choose from higher ones")
	}
}

func TestClose(t *testing.T) {
	s, err := testserver.StartPostgres("-c", "fsync=on")
	require.NoError(t, err)
	assert.Equal(t, "on", psql(t, s, "show fsync"), "arguments take precedence")
	require.NoError(t, s.Close())
	refused(t, s.Addr)
	assert.NoDirExists(t, s.Dir)
}

func TestStartFails(t *testing.T) {
	_, err := testserver.StartRedis("--no-such-option", "1")
	require.ErrorContains(t, err, "no-such-option", "the server's log has the reason")
	_, err = testserver.StartPostgres("-c", "no_such_setting=1")
	require.ErrorContains(t, err, "no_such_setting")
	_, err = testserver.StartMySQL("--no-such-option")
	require.ErrorContains(t, err, "no-such-option")
}

func TestShared(t *testing.T) {
	assert.Same(t, shared.Postgres(t), shared.Postgres(t))
	t.Setenv("REDIS_URL", "redis://elsewhere:1/0")
	var foreign testserver.Shared
	s := foreign.Redis(t)
	assert.Equal(t, "redis://elsewhere:1/0", s.URL)
	require.ErrorContains(t, s.Stop(), "environment")
	require.ErrorContains(t, s.Start(), "environment")
	require.NoError(t, s.Close())
}

// TestMissing: without the program a test is skipped, or fails where servers are
// required, and either way it names the package.
func TestMissing(t *testing.T) {
	if os.Getenv(childVariable) == "missing" {
		testserver.Program(t, "no-such-server", "no-such-package")
		return
	}
	for required, want := range map[string]string{"": "--- SKIP", "1": "--- FAIL"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMissing$", "-test.v")
		cmd.Env = append(os.Environ(), childVariable+"=missing",
			"GEMINIHOOK_REQUIRE_SERVERS="+required)
		out, err := cmd.CombinedOutput()
		assert.Equal(t, required == "1", err != nil)
		assert.Contains(t, string(out), want)
		assert.Contains(t, string(out), "the Debian package no-such-package")
	}
}

// TestWatchdog: when the process that started a server ends, even without a
// chance to clean up, the server ends and its folder is removed.
func TestWatchdog(t *testing.T) {
	for name, tt := range map[string]struct {
		server string
		end    func(child *exec.Cmd, stdin io.Closer) error
	}{
		"Redis, panic":       {"redis", func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() }},
		"PostgreSQL, panic":  {"postgres", func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() }},
		"MariaDB, panic":     {"mysql", func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() }},
		"PostgreSQL, killed": {"postgres", func(child *exec.Cmd, _ io.Closer) error { return child.Process.Kill() }},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVariable+"="+tt.server)
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var addr, dir string
			_, err = fmt.Fscanln(out, &addr, &dir, new(string))
			require.NoError(t, err)
			require.DirExists(t, dir)
			require.NoError(t, tt.end(cmd, in))
			require.Error(t, cmd.Wait())
			assert.Eventually(t, func() bool {
				_, err := os.Stat(dir)
				return os.IsNotExist(err)
			}, time.Minute, 10*time.Millisecond)
			refused(t, addr)
		})
	}
}

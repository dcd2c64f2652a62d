package pgstore_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// pgBouncer starts a PgBouncer in transaction mode in front of the shared
// server, with the given number of server connections, and returns its URL.
func pgBouncer(t *testing.T, size int) string {
	t.Helper()
	binary := testserver.Program(t, "pgbouncer", "pgbouncer")
	config, err := pgxpool.ParseConfig(server.Postgres(t).URL)
	require.NoError(t, err)
	port, err := testserver.FreePort()
	require.NoError(t, err)
	to := config.ConnConfig
	password := "" // an empty one is a syntax error
	if to.Password != "" {
		password = " password='" + strings.ReplaceAll(to.Password, "'", "''") + "'"
	}
	dir, err := os.MkdirTemp("", "pgbouncer-") // unlike t.TempDir, it can be given away
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
[databases]
%s = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
`, to.Database, to.Host, to.Port, to.User, password, port, size), 0o600))
	args := []string{file}
	if os.Geteuid() == 0 { // it refuses to run as root
		args = append([]string{"-u", "nobody"}, args...)
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		uid, err := strconv.Atoi(nobody.Uid)
		require.NoError(t, err)
		require.NoError(t, os.Chown(dir, uid, -1))
		require.NoError(t, os.Chown(file, uid, -1))
	}
	// The shell ends it when this process ends, however it does.
	const script = `"$@" & read -r _; kill $!; wait $!`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh", binary}, args...)...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	leash, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = leash.Close()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of pgbouncer:\n%s", log.String())
		}
	})
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, limit, tick)
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", to.User, addr, to.Database)
}

func TestPgBouncer(t *testing.T) {
	t.Run("exec mode", func(t *testing.T) {
		url := pgBouncer(t, 40)
		suites(t, url, func(c *pgxpool.Config) {
			c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		})
	})
	t.Run("the driver's default mode", func(t *testing.T) {
		url := pgBouncer(t, 1)
		schema := newSchema(t, connect(t, server.Postgres(t).URL))
		var errs []error
		for range 2 { // both clients prepare the same statements on one connection of the server
			store := pgstore.New(connect(t, url, maxConns(1)))
			store.Schema = schema
			_, err := store.Claim(t.Context(), "msg_1", "token", time.Hour, time.Hour)
			errs = append(errs, store.Migrate(t.Context()), err)
		}
		require.ErrorContains(t, errors.Join(errs...), "default_query_exec_mode=exec")
	})
}

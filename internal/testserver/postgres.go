package testserver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func postgresEngine() engine {
	return engine{
		pkg: "postgresql", variable: "DATABASE_URL", url: "postgres://postgres@%s/postgres?sslmode=disable",
		find: findPostgres, prepare: initdb, command: postgresCommand, ready: postgresReady,
		orderly: syscall.SIGINT,  // which, unlike SIGTERM, does not wait for sessions to end
		quick:   syscall.SIGQUIT, // which, unlike SIGKILL, leaves no child and no shared memory behind
	}
}

// findPostgres looks where Debian puts it, the newest version first, then in
// PATH.
func findPostgres() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return exec.LookPath("postgres")
	}
	version := func(name string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(name)))) // 0 sorts first
		return n
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }), nil
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// initdb makes the database cluster, if there is none from an earlier time.
func initdb(s *Server, binary string) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	if err := giveAway(s.Dir); err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	if _, err := os.Stat(filepath.Join(s.data(), "PG_VERSION")); err == nil {
		return nil
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(binary), "initdb"), "--pgdata", s.data(), "--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	cmd.Dir = s.Dir
	if err := asOwner(cmd, s.Dir); err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("testserver: initdb: %w:\n%s", err, out)
	}
	return nil
}

func postgresCommand(s *Server, binary string) ([]string, error) {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, err
	}
	return append([]string{
		binary, "-D", s.data(), "-p", port, "-c", "listen_addresses=" + host, "-c", "unix_socket_directories=" + s.Dir,
		"-c", "fsync=off", "-c", "lc_messages=C", "-c", "dynamic_shared_memory_type=mmap",
	}, s.args...), nil
}

// postgresReady reads the status where pg_ctl reads it: the first line of
// postmaster.pid is the process id, the eighth the status.
func postgresReady(s *Server, pid int) bool {
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	lines := strings.Split(string(b), "\n")
	return err == nil && len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// Postgres returns the server that DATABASE_URL names; else it is NewPostgres.
func Postgres(t testing.TB) *Server {
	t.Helper()
	if s := fromEnvironment(postgresEngine()); s != nil {
		return s
	}
	return NewPostgres(t)
}

// NewPostgres starts a PostgreSQL server that ends with the test. The user is
// postgres and needs no password. The server does not wait for the disk, so
// that what it loses if the machine crashes, not if it is killed, is not
// tested; args are further options of postgres and win over that, e.g. "-c",
// "fsync=on".
//
// PostgreSQL refuses to run as root: then it runs as the user postgres, else
// nobody.
func NewPostgres(t testing.TB, args ...string) *Server {
	t.Helper()
	return forTest(t, postgresEngine(), args)
}

// StartPostgres is NewPostgres without a test: Close the server when done. Its
// data is in dir; an empty dir means a temporary folder that Close removes.
func StartPostgres(dir string, args ...string) (*Server, error) {
	return start(postgresEngine(), dir, args)
}

package testserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var redisEngine = engine{
	pkg: "redis-server", variable: "REDIS_URL", url: "redis://%s/0",
	find:    func() string { return find("redis-server") },
	prepare: func(*Server) error { return nil },
	command: func(s *Server, host, port string) *exec.Cmd {
		return exec.Command(s.binary, append([]string{
			"--bind", host, "--port", port, "--dir", s.Dir, "--daemonize", "no",
			"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
		}, s.args...)...)
	},
	// Another program with the port may respond, too, but only this one writes the log.
	ready: func(s *Server, _ int) bool {
		return strings.Contains(s.log(), "Ready to accept connections") && pong(s.Addr)
	},
	orderly: syscall.SIGTERM, quick: syscall.SIGKILL,
}

// NewRedis starts a Redis server that ends with the test. It keeps its data in
// memory only and evicts nothing; args are further options of redis-server and
// take precedence, for example "--appendonly", "yes".
func NewRedis(t testing.TB, args ...string) *Server {
	t.Helper()
	return forTest(t, redisEngine, args)
}

// StartRedis is NewRedis without a test: call Close when done.
func StartRedis(args ...string) (*Server, error) { return start(redisEngine, args) }

// pong reports whether the server replies to a PING. It does not while it is loading
// its data.
func pong(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, _, err := bufio.NewReader(conn).ReadLine()
	return err == nil && string(line) == "+PONG"
}

var postgresEngine = engine{
	pkg: "postgresql", variable: "DATABASE_URL", url: "postgres://postgres@%s/postgres?sslmode=disable",
	find: findPostgres, prepare: initdb,
	command: func(s *Server, host, port string) *exec.Cmd {
		return exec.Command(s.binary, append([]string{
			"-D", s.data(), "-p", port, "-c", "listen_addresses=" + host, "-c",
			"unix_socket_directories=" + s.Dir,
			"-c", "fsync=off", "-c", "lc_messages=C", "-c", "dynamic_shared_memory_type=mmap",
		}, s.args...)...)
	},
	ready:   postgresReady,
	orderly: syscall.SIGINT,  // unlike SIGTERM, does not wait for sessions to end
	quick:   syscall.SIGQUIT, // unlike SIGKILL, leaves no children and no shared memory behind
}

// NewPostgres starts a PostgreSQL server that ends with the test. The user is
// postgres and needs no password. The server does not wait for the disk, so its
// data survives Kill but not a crash of the machine; args are further options of
// postgres and take precedence, for example "-c", "fsync=on".
func NewPostgres(t testing.TB, args ...string) *Server {
	t.Helper()
	return forTest(t, postgresEngine, args)
}

// StartPostgres is NewPostgres without a test: call Close when done.
func StartPostgres(args ...string) (*Server, error) { return start(postgresEngine, args) }

// findPostgres looks where Debian installs it, the newest version first, and
// then in PATH.
func findPostgres() string {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return find("postgres")
	}
	version := func(name string) int {
		folder := filepath.Dir(filepath.Dir(name)) // such as /usr/lib/postgresql/15
		n, _ := strconv.Atoi(filepath.Base(folder))
		return n // 0 sorts first
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// initdb creates the database cluster.
func initdb(s *Server) error {
	cmd := exec.Command(filepath.Join(filepath.Dir(s.binary), "initdb"), "--pgdata", s.data(),
		"--username", "postgres",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	return runWithoutRoot(s, cmd)
}

// runWithoutRoot runs a command that prepares a server.
func runWithoutRoot(s *Server, cmd *exec.Cmd) error {
	cmd.Dir = s.Dir
	if err := withoutRoot(cmd, s.Dir); err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("testserver: %s: %w:\n%s", filepath.Base(cmd.Path), err, out)
	}
	return nil
}

// postgresReady reads the status where pg_ctl reads it: in postmaster.pid, the
// first line is the process id and the eighth the status.
func postgresReady(s *Server, pid int) bool {
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	lines := strings.Split(string(b), "\n")
	return err == nil && len(lines) >= 8 && lines[0] == strconv.Itoa(pid) &&
		strings.TrimSpace(lines[7]) == "ready"
}

var mysqlEngine = engine{
	pkg: "mariadb-server", variable: "MYSQL_DSN", url: "test@tcp(%s)/test",
	find: func() string { return find("mariadbd") }, prepare: installMariaDB,
	command: func(s *Server, host, port string) *exec.Cmd {
		return exec.Command(s.binary, append([]string{
			"--no-defaults", "--datadir=" + s.data(), "--bind-address=" + host, "--port=" + port,
			"--socket=" + filepath.Join(s.Dir, "socket"),
			"--pid-file=" + filepath.Join(s.Dir, "pid"),
			"--init-file=" + filepath.Join(s.Dir, "init.sql"), "--innodb-flush-log-at-trx-commit=2",
			"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
		}, s.args...)...)
	},
	ready: func(s *Server, _ int) bool {
		return strings.Contains(s.log(), "ready for connections") && greets(s.Addr)
	},
	orderly: syscall.SIGTERM, quick: syscall.SIGKILL,
}

// NewMySQL starts a MariaDB server that ends with the test. The user is test, needs
// no password and has all rights, and the database is test. The server does not wait
// for the disk, so its data survives Kill but not a crash of the machine; args are
// further options of mariadbd and take precedence, for example
// "--innodb-flush-log-at-trx-commit=1".
func NewMySQL(t testing.TB, args ...string) *Server {
	t.Helper()
	return forTest(t, mysqlEngine, args)
}

// StartMySQL is NewMySQL without a test: call Close when done.
func StartMySQL(args ...string) (*Server, error) { return start(mysqlEngine, args) }

// installMariaDB creates the system tables, and a file with what each start executes.
func installMariaDB(s *Server) error {
	const statements = `CREATE DATABASE IF NOT EXISTS test;
CREATE USER IF NOT EXISTS test@'%';
GRANT ALL ON *.* TO test@'%' WITH GRANT OPTION;
`
	name := filepath.Join(s.Dir, "init.sql")
	if err := os.WriteFile(name, []byte(statements), 0o644); err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	cmd := exec.Command(find("mariadb-install-db"), "--no-defaults", "--datadir="+s.data(),
		"--skip-test-db", "--auth-root-authentication-method=normal")
	return runWithoutRoot(s, cmd)
}

// greets reports whether the server responds to a connection, which it does when it
// is ready, with the version of its protocol.
func greets(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	greeting := make([]byte, 5) // a header of four bytes
	_, err = io.ReadFull(conn, greeting)
	return err == nil && greeting[4] == 10
}

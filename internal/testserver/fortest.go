package testserver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Shared is one server for all tests of a package, started when the first test
// asks for it. The zero Shared is ready to use, for one of the engines:
//
//	var server testserver.Shared
//
//	func TestMain(m *testing.M) { os.Exit(server.Main(m)) }
//
// If REDIS_URL, DATABASE_URL or MYSQL_DSN is set, it is the server that the variable names.
// Tests that share a server must use their own keys, prefixes, or schemas.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Main runs the tests, closes the server, and returns the exit code.
func (s *Shared) Main(m *testing.M) int {
	code := m.Run()
	if s.server != nil {
		_ = s.server.Close() // the tests' result is what counts
	}
	return code
}

// Redis returns the shared Redis server.
func (s *Shared) Redis(t testing.TB) *Server {
	t.Helper()
	return s.get(t, redisEngine)
}

// Postgres returns the shared PostgreSQL server.
func (s *Shared) Postgres(t testing.TB) *Server {
	t.Helper()
	return s.get(t, postgresEngine)
}

// MySQL returns the shared MariaDB server.
func (s *Shared) MySQL(t testing.TB) *Server {
	t.Helper()
	return s.get(t, mysqlEngine)
}

func (s *Shared) get(t testing.TB, e engine) *Server {
	t.Helper()
	s.once.Do(func() {
		if url := os.Getenv(e.variable); url != "" {
			s.server = &Server{URL: url, engine: e}
			return
		}
		s.server, s.err = start(e, nil)
	})
	if s.err != nil {
		giveUp(t, s.err)
	}
	return s.server
}

// forTest starts a server that ends with the test.
func forTest(t testing.TB, e engine, args []string) *Server {
	t.Helper()
	s, err := start(e, args)
	if err != nil {
		giveUp(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", e.pkg, s.log())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Program returns the path of a program that the test runs. If it is missing,
// the test is skipped or fails, as if a server were missing. The argument pkg is
// its Debian package.
func Program(t testing.TB, name, pkg string) string {
	t.Helper()
	path := find(name)
	if path == "" {
		giveUp(t, missing(pkg))
	}
	return path
}

func giveUp(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errMissing) && os.Getenv("GEMINIHOOK_REQUIRE_SERVERS") != "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// find returns the path of a program, or "". Debian installs servers where the
// PATH of an ordinary user does not look.
func find(name string) string {
	for _, candidate := range []string{name, filepath.Join("/usr/sbin", name)} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	return ""
}

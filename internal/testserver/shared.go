package testserver

import (
	"sync"
	"testing"
)

// Shared is one server for all tests of a package, started when the first asks
// for it. The zero Shared is ready, for one of the two engines:
//
//	var server testserver.Shared
//
//	func TestMain(m *testing.M) { os.Exit(server.Main(m)) }
//
// Tests that share a server must keep to keys, prefixes or schemas of their
// own.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Main runs the tests, closes the server and returns the exit code.
func (s *Shared) Main(m *testing.M) int {
	code := m.Run()
	if s.server != nil {
		_ = s.server.Close() // the tests' result is what counts
	}
	return code
}

// Redis returns the shared server, which is the one that REDIS_URL names, if it
// is set.
func (s *Shared) Redis(t testing.TB) *Server {
	t.Helper()
	return s.get(t, redisEngine())
}

// Postgres returns the shared server, which is the one that DATABASE_URL names,
// if it is set.
func (s *Shared) Postgres(t testing.TB) *Server {
	t.Helper()
	return s.get(t, postgresEngine())
}

func (s *Shared) get(t testing.TB, e engine) *Server {
	t.Helper()
	s.once.Do(func() {
		if s.server = fromEnvironment(e); s.server == nil {
			s.server, s.err = start(e, "", nil)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

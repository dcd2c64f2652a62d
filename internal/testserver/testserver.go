// Package testserver starts real Redis and PostgreSQL servers for tests, each
// on a free loopback port with a data folder of its own, from the binaries of
// Debian's packages redis-server and postgresql:
//
//	server := testserver.Postgres(t)
//	pool, err := pgxpool.New(t.Context(), server.URL)
//
// [Redis] and [Postgres] use the server that REDIS_URL or DATABASE_URL in the
// environment names, if there is one. [NewRedis] and [NewPostgres] always start
// one, for tests that stop and kill it. [Shared] is one server for all tests of
// a package. [StartRedis] and [StartPostgres] are for programs that are no
// test.
//
// A missing binary is installed with apt-get where the process is root, and is
// an error that names the package elsewhere. The servers need Unix. None
// outlives the process that started it, however that ends.
package testserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Server is a database server.
type Server struct {
	// URL is what the drivers take: redis://127.0.0.1:port/0, or
	// postgres://postgres@127.0.0.1:port/postgres?sslmode=disable.
	URL string
	// Addr is host:port. It is empty if the URL is from the environment.
	Addr string
	// Dir holds the data and server.log. It is empty if the URL is from the
	// environment.
	Dir string

	engine    engine
	args      []string
	removeDir bool

	mu      sync.Mutex
	running *process // nil while it is stopped
}

// engine is what differs between the two.
type engine struct {
	pkg      string // of Debian
	variable string // of the environment
	url      string // format, takes the address
	find     func() (string, error)
	prepare  func(s *Server, binary string) error // once, before the first start
	command  func(s *Server, binary string) ([]string, error)
	ready    func(s *Server, pid int) bool
	orderly  os.Signal      // ends it in good order
	quick    syscall.Signal // ends it where its data does not matter
}

const (
	startLimit = time.Minute
	attempts   = 20 // to start: the port may be taken, a killed server may not have let go of its data yet
	pause      = 250 * time.Millisecond
	probe      = 10 * time.Millisecond // between two looks whether it is ready
)

var errForeign = errors.New("testserver: the server is from the environment: start your own to stop it")

// start starts a server for the first time. An empty dir means a temporary one.
func start(e engine, dir string, args []string) (_ *Server, err error) {
	s := &Server{Dir: dir, engine: e, args: args}
	if dir == "" {
		if s.Dir, err = os.MkdirTemp("", "testserver-"); err != nil {
			return nil, fmt.Errorf("testserver: %w", err)
		}
		s.removeDir = true
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return nil, fmt.Errorf("testserver: %w", err)
	}
	binary, err := findOrInstall(e)
	if err != nil {
		return nil, err
	}
	if err := e.prepare(s, binary); err != nil {
		return nil, err
	}
	for range attempts {
		port, perr := FreePort()
		if perr != nil {
			return nil, perr
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		s.URL = fmt.Sprintf(e.url, s.Addr)
		if err = s.launch(binary); !errors.Is(err, errEarly) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Start starts a stopped server again, on the same port with the same data. It
// returns when the server takes connections.
func (s *Server) Start() error {
	if s.Addr == "" {
		return errForeign
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("testserver: it is running")
	}
	binary, err := s.engine.find()
	if err != nil {
		return err
	}
	for range attempts {
		if err = s.launch(binary); !errors.Is(err, errEarly) {
			return err
		}
		time.Sleep(pause)
	}
	return err
}

// errEarly says that the server ended before it was ready.
var errEarly = errors.New("it ended at once")

// launch starts the process and waits until it is ready.
func (s *Server) launch(binary string) error {
	command, err := s.engine.command(s, binary)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.Dir, "server.log"))
	if err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	defer func() { _ = log.Close() }() // the server has its own handle
	remove := ""
	if s.removeDir {
		remove = s.Dir
	}
	p, err := startProcess(command, s.Dir, log, s.engine.quick, remove)
	if err != nil {
		return fmt.Errorf("testserver: %s: %w", s.engine.pkg, err)
	}
	late := time.After(startLimit)
	for {
		if s.engine.ready(s, p.pid()) {
			s.running = p
			return nil
		}
		select {
		case <-p.exited:
			p.dismiss()
			return fmt.Errorf("testserver: %s: %w:\n%s", s.engine.pkg, errEarly, s.log())
		case <-late:
			_ = p.stop(s.engine.quick)
			return fmt.Errorf("testserver: %s: not ready after %v:\n%s", s.engine.pkg, startLimit, s.log())
		case <-time.After(probe):
		}
	}
}

// log returns what the server wrote since its start.
func (s *Server) log() string {
	b, err := os.ReadFile(filepath.Join(s.Dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Stop ends the server in good order and keeps its data for Start.
func (s *Server) Stop() error { return s.halt(s.engine.orderly) }

// Kill ends the server with SIGKILL, as a crash would, and keeps for Start what
// is on disk.
func (s *Server) Kill() error { return s.halt(os.Kill) }

func (s *Server) halt(signal os.Signal) error {
	if s.Addr == "" {
		return errForeign
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return errors.New("testserver: it is not running")
	}
	err := s.running.stop(signal)
	s.running = nil
	if err != nil {
		return fmt.Errorf("testserver: %s: %w:\n%s", s.engine.pkg, err, s.log())
	}
	return nil
}

// Close ends the server if it runs, and removes its data folder if it is a
// temporary one. It does nothing to a server from the environment.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.running != nil {
		err = s.running.stop(s.engine.quick)
		s.running = nil
	}
	if !s.removeDir {
		return err
	}
	for range attempts { // a killed server's children may still write
		if err = os.RemoveAll(s.Dir); err == nil {
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("testserver: %w", err)
}

// FreePort returns a loopback port that is free at this moment.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("testserver: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// forTest starts a server that ends with the test.
func forTest(t testing.TB, e engine, args []string) *Server {
	t.Helper()
	s, err := start(e, "", args)
	if err != nil {
		t.Fatal(err)
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

// fromEnvironment returns nil if the variable is not set.
func fromEnvironment(e engine) *Server {
	if url := os.Getenv(e.variable); url != "" {
		return &Server{URL: url, engine: e}
	}
	return nil
}

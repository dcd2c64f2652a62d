// Package testserver starts real Redis, PostgreSQL and MariaDB servers for tests,
// each on a free loopback port with its own temporary folder, and stops, kills, and
// cuts them off:
//
//	server := testserver.NewPostgres(t)
//	pool, err := pgxpool.New(t.Context(), server.URL)
//
// [Shared] is one server for all tests of a package. [StartRedis], [StartPostgres]
// and [StartMySQL] are for programs that are not tests. The servers need Unix.
// None outlives the process that started it, however that process ends.
//
// Nothing is installed: "make deps" does that. If a program is missing, the test
// is skipped with the name of its Debian package, or fails if
// GEMINIHOOK_REQUIRE_SERVERS is 1, as it is in "make test".
package testserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A Server is a database server.
type Server struct {
	// URL is what the drivers take: redis://127.0.0.1:port/0,
	// postgres://postgres@127.0.0.1:port/postgres?sslmode=disable, or
	// test@tcp(127.0.0.1:port)/test.
	URL string
	// Addr is host:port, and Dir the folder with the data and server.log. Both
	// are empty if the URL comes from the environment.
	Addr, Dir string

	engine engine
	binary string
	args   []string

	mu      sync.Mutex
	running *process // nil while stopped
}

// engine is what differs between the servers.
type engine struct {
	pkg      string // the Debian package
	variable string // the environment variable that names a server to use instead
	url      string // a format that takes the address
	find     func() string
	prepare  func(s *Server) error // once, before the first start
	command  func(s *Server, host, port string) *exec.Cmd
	ready    func(s *Server, pid int) bool
	orderly  os.Signal      // shuts the server down properly
	quick    syscall.Signal // shuts it down when its data does not matter
}

const (
	startLimit = 2 * time.Minute // a busy machine takes seconds
	// attempts is how many times a start or a removal is tried: the port may be
	// taken, or a killed server's children may still hold its data.
	attempts = 20
	pause    = 250 * time.Millisecond // between two attempts
	poll     = 10 * time.Millisecond  // between two looks at whether the server is ready
)

var (
	errMissing = errors.New("a program is missing")
	errForeign = errors.New("testserver: the server comes from the environment: start your own to stop it")
	errEarly   = errors.New("the server exited before it was ready")
)

// start starts a server for the first time.
func start(e engine, args []string) (_ *Server, err error) {
	s := &Server{engine: e, args: args, binary: e.find()}
	if s.binary == "" {
		return nil, missing(e.pkg)
	}
	if s.Dir, err = os.MkdirTemp("", "testserver-"); err != nil {
		return nil, fmt.Errorf("testserver: %w", err)
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if err = e.prepare(s); err != nil {
		return nil, err
	}
	for range attempts {
		var port int
		if port, err = FreePort(); err != nil {
			return nil, err
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		s.URL = fmt.Sprintf(e.url, s.Addr)
		if err = s.launch(); !errors.Is(err, errEarly) {
			break
		}
	}
	return s, err
}

// Start starts a stopped server again, on the same port with the same data. It
// returns when the server accepts connections.
func (s *Server) Start() error {
	if s.Addr == "" {
		return errForeign
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("testserver: the server is running")
	}
	var err error
	for range attempts {
		if err = s.launch(); !errors.Is(err, errEarly) {
			return err
		}
		time.Sleep(pause)
	}
	return err
}

// launch starts the process and waits until it is ready.
func (s *Server) launch() error {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return fmt.Errorf("testserver: %w", err)
	}
	p, err := startProcess(s.engine.command(s, host, port), s.Dir, s.engine.quick)
	if err != nil {
		return fmt.Errorf("testserver: %s: %w", s.engine.pkg, err)
	}
	late := time.After(startLimit)
	for !s.engine.ready(s, p.cmd.Process.Pid) {
		select {
		case <-p.exited:
			p.dismiss()
			return fmt.Errorf("testserver: %s: %w:\n%s", s.engine.pkg, errEarly, s.log())
		case <-late:
			_ = p.stop(s.engine.quick)
			return fmt.Errorf("testserver: %s: not ready after %v:\n%s", s.engine.pkg, startLimit,
				s.log())
		case <-time.After(poll):
		}
	}
	s.running = p
	return nil
}

// log returns what the server has logged since it was last started.
func (s *Server) log() string {
	b, err := os.ReadFile(filepath.Join(s.Dir, logName))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Stop shuts the server down properly and keeps its data for Start.
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
		return errors.New("testserver: the server is not running")
	}
	err := s.running.stop(signal)
	s.running = nil
	if err != nil {
		return fmt.Errorf("testserver: %s: %w:\n%s", s.engine.pkg, err, s.log())
	}
	return nil
}

// Close ends the server if it is running, and removes its folder. It does
// nothing to a server from the environment.
func (s *Server) Close() error {
	if s.Dir == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.running != nil {
		err = s.running.stop(s.engine.quick)
		s.running = nil
	}
	for range attempts { // the children of a killed server may still be writing
		removal := os.RemoveAll(s.Dir)
		if removal == nil {
			return err
		}
		time.Sleep(pause)
	}
	return errors.Join(err, fmt.Errorf("testserver: %s cannot be removed", s.Dir))
}

// FreePort returns a loopback port that is free at this moment. It is not one of those
// that the system chooses for connections and for listeners on port 0, so that none of
// them takes the port while a server on it restarts.
func FreePort() (int, error) {
	var err error
	for range attempts {
		port := 10_000 + rand.IntN(10_000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("testserver: %w", err)
}

func missing(pkg string) error {
	return fmt.Errorf("testserver: %w: run make deps, or install the Debian package %s", errMissing,
		pkg)
}

package testserver

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func redisEngine() engine {
	return engine{
		pkg: "redis-server", variable: "REDIS_URL", url: "redis://%s/0",
		find: func() (string, error) { return exec.LookPath("redis-server") },
		prepare: func(s *Server, _ string) error {
			return os.MkdirAll(s.Dir, 0o700)
		},
		command: func(s *Server, binary string) ([]string, error) {
			host, port, err := net.SplitHostPort(s.Addr)
			if err != nil {
				return nil, err
			}
			return append([]string{
				binary, "--bind", host, "--port", port, "--dir", s.Dir, "--daemonize", "no",
				"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
			}, s.args...), nil
		},
		ready:   func(s *Server, _ int) bool { return pong(s.Addr) },
		orderly: syscall.SIGTERM, quick: syscall.SIGKILL,
	}
}

// pong is false also while the server loads its data.
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

// Redis returns the server that REDIS_URL names; else it is NewRedis.
func Redis(t testing.TB) *Server {
	t.Helper()
	if s := fromEnvironment(redisEngine()); s != nil {
		return s
	}
	return NewRedis(t)
}

// NewRedis starts a Redis server that ends with the test. It keeps its data in
// memory alone and evicts nothing; args are further options of redis-server and
// win over that, e.g. "--appendonly", "yes".
func NewRedis(t testing.TB, args ...string) *Server {
	t.Helper()
	return forTest(t, redisEngine(), args)
}

// StartRedis is NewRedis without a test: Close the server when done. Its data
// is in dir; an empty dir means a temporary folder that Close removes.
func StartRedis(dir string, args ...string) (*Server, error) {
	return start(redisEngine(), dir, args)
}

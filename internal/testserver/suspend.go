package testserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// Processes returns the ids of the server's processes, its own first: PostgreSQL has
// one per connection, and more in the background. It needs Linux.
func (s *Server) Processes() ([]int, error) {
	if s.Addr == "" {
		return nil, errForeign
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil, errors.New("testserver: the server is not running")
	}
	id := s.running.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", id, id))
	if err != nil {
		return nil, fmt.Errorf("testserver: %w", err)
	}
	ids := []int{id}
	for _, text := range strings.Fields(string(b)) {
		child, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("testserver: %w", err)
		}
		ids = append(ids, child)
	}
	return ids, nil
}

// suspender stops processes and continues them when the pipe from this process is
// closed, also because this process has ended.
const suspender = `
trap '' INT
kill -STOP "$@"
echo
read -r _
kill -CONT "$@"`

// Suspend stops the server's processes until resume is called, like a machine that
// hangs: connections stay open, and new ones are accepted, but nobody replies. After
// Kill, call resume, too, so that the server's children notice and exit. It needs
// Linux.
func (s *Server) Suspend() (resume func(), err error) {
	ids, err := s.Processes()
	if err != nil {
		return nil, err
	}
	args := []string{"-c", suspender, "sh"}
	for _, id := range ids {
		args = append(args, strconv.Itoa(id))
	}
	cmd := exec.Command("/bin/sh", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("testserver: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("testserver: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("testserver: %w", err)
	}
	resume = sync.OnceFunc(func() {
		_ = in.Close()
		_ = cmd.Wait() // fails if one of the processes is gone
	})
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		resume()
		return nil, fmt.Errorf("testserver: %w", err)
	}
	return resume, nil
}

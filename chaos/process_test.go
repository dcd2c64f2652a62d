package chaos_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/stretchr/testify/require"
)

// receiver is a process.
type receiver struct {
	name string // of a process that sweeps
	addr string
	env  []string
	cmd  *exec.Cmd
	in   io.Closer

	listener *os.File // that the process inherits; nil if it listens itself
}

// newReceiver returns a receiver on a free port, with variables of its environment.
func newReceiver(t *testing.T, env ...string) *receiver {
	t.Helper()
	port, err := testserver.FreePort()
	require.NoError(t, err)
	return &receiver{addr: fmt.Sprintf("127.0.0.1:%d", port), env: append(os.Environ(), env...)}
}

func (r *receiver) start(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command(os.Args[0])
	r.cmd.Env = append(slices.Clone(r.env), addrVariable+"="+r.addr, nameVariable+"="+r.name)
	r.cmd.Stderr = os.Stderr
	in, err := r.cmd.StdinPipe()
	require.NoError(t, err)
	r.in = in
	if r.listener != nil {
		r.cmd.ExtraFiles = []*os.File{r.listener}
		defer r.listener.Close()
	}
	require.NoError(t, r.cmd.Start())
}

func (r *receiver) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	_ = r.in.Close()
}

// up reports whether the process accepts connections.
func (r *receiver) up() bool {
	connection, err := net.Dial("tcp", r.addr)
	if err != nil {
		return false
	}
	return connection.Close() == nil
}

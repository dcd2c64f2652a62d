//go:build unix && !aix && !solaris

package testserver

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// process is a running server and its watchdog.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	dog    *exec.Cmd
	leash  io.Closer
}

// watchdog reads a pipe whose other end this process holds. When this process
// ends, however it does, it ends the server, at first with the signal, and
// removes the temporary folder once the server writes no more to it.
const watchdog = `
read -r _
kill "-$1" "$2"
n=0
while kill -0 "$2"; do
	test $n -lt 100 || kill -9 "$2"
	test $n -lt 110 || break # a zombie that nobody reaps
	n=$((n+1))
	sleep 0.1
done
test -n "$3" || exit 0
n=0
until rm -rf -- "$3" || test $n -ge 100; do
	n=$((n+1))
	sleep 0.1
done`

const stopLimit = 20 * time.Second

// startProcess starts the command in dir. If this process dies, the server gets
// the signal and the folder remove, unless it is empty, is removed.
func startProcess(command []string, dir string, output *os.File, quick syscall.Signal, remove string) (*process, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	if err := asOwner(cmd, dir); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its log says why
		close(p.exited)
	}()
	p.dog = exec.Command("/bin/sh", "-c", watchdog, "sh", strconv.Itoa(int(quick)), strconv.Itoa(cmd.Process.Pid), remove)
	p.dog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is not for it
	var err error
	if p.leash, err = p.dog.StdinPipe(); err == nil {
		err = p.dog.Start()
	}
	if err != nil {
		p.dog = nil
		return nil, errors.Join(err, p.stop(quick))
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the server with the signal, else with SIGKILL, and its watchdog.
func (p *process) stop(s os.Signal) error {
	defer p.dismiss()
	_ = p.cmd.Process.Signal(s) // an error means that it has ended
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return errors.New("it did not stop and was killed")
	}
}

// dismiss ends the watchdog.
func (p *process) dismiss() {
	if p.dog == nil {
		return
	}
	_ = p.dog.Process.Kill()
	_ = p.dog.Wait()
	_ = p.leash.Close()
}

// asOwner makes the command run as the user who owns the folder, and in a
// process group of its own.
func asOwner(cmd *exec.Cmd, dir string) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return nil
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return err
	}
	if st.Uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
	}
	return nil
}

// giveAway gives the folder to a user who may run PostgreSQL, if we may not.
func giveAway(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return err
		}
		return os.Chown(dir, uid, gid)
	}
	return errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// lock waits until no other process holds the file's lock.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil // which releases it
}

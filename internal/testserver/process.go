package testserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	logName   = "server.log"
	stopLimit = time.Minute
)

// process is a running server and its watchdog.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	dog    *exec.Cmd
	leash  io.Closer
}

// watchdog reads a pipe whose other end this process holds. When this process
// ends, however it does, the watchdog ends the server and removes its folder. It
// stops waiting after 10 seconds: a zombie that nobody reaps never goes.
const watchdog = `
trap '' INT
read -r _
kill "-$1" "$2"
n=0
while kill -0 "$2" && test $n -lt 100; do
	n=$((n+1))
	sleep 0.1
done
kill -9 "$2"
until rm -rf -- "$3" || test $n -ge 200; do
	n=$((n+1))
	sleep 0.1
done`

// startProcess starts the server, which writes its log into dir.
func startProcess(cmd *exec.Cmd, dir string, quick syscall.Signal) (*process, error) {
	log, err := os.Create(filepath.Join(dir, logName))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the server has its own handle
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := withoutRoot(cmd, dir); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its log has the reason
		close(p.exited)
	}()
	p.dog = exec.Command("/bin/sh", "-c", watchdog, "sh", strconv.Itoa(int(quick)),
		strconv.Itoa(cmd.Process.Pid), dir)
	if p.leash, err = p.dog.StdinPipe(); err == nil {
		err = p.dog.Start()
	}
	if err != nil {
		p.dog = nil
		return nil, errors.Join(err, p.stop(quick))
	}
	return p, nil
}

// stop ends the server with the signal, or with SIGKILL if that does not help,
// and its watchdog.
func (p *process) stop(s os.Signal) error {
	defer p.dismiss()
	_ = p.cmd.Process.Signal(s) // an error means that it has exited
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("the server did not stop within %v and was killed", stopLimit)
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

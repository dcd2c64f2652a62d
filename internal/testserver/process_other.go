//go:build !unix || aix || solaris

package testserver

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

var errUnix = errors.New("it can be started on Unix only")

type process struct{ exited chan struct{} }

func startProcess([]string, string, *os.File, syscall.Signal, string) (*process, error) {
	return nil, errUnix
}

func (*process) pid() int             { return 0 }
func (*process) stop(os.Signal) error { return errUnix }
func (*process) dismiss()             {}

func asOwner(*exec.Cmd, string) error { return errUnix }
func giveAway(string) error           { return errUnix }

func lock(string) (func(), error) { return nil, errUnix }

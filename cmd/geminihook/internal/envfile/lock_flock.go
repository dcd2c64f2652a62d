//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package envfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// tryLock locks the file with the name, which it creates, or returns errInUse. The lock
// ends with the process at the latest. Call unlock when done.
func tryLock(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && removed(file, name) {
		err = syscall.EWOULDBLOCK
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		_ = file.Close()
		return nil, errInUse
	case err != nil:
		_ = file.Close()
		return nil, fmt.Errorf("%s cannot be locked: %w", name, err)
	}
	return file, nil
}

// removed reports whether the name no longer leads to the file, because the process
// that had locked it has removed it. A lock on it would exclude nobody.
func removed(file *os.File, name string) bool {
	locked, err := file.Stat()
	if err != nil {
		return true
	}
	named, err := os.Lstat(name)
	return err != nil || !os.SameFile(locked, named)
}

// unlock removes the file while it is locked, so that nothing is left beside the file
// of environment variables.
func unlock(file *os.File) {
	_ = os.Remove(file.Name())
	_ = file.Close()
}

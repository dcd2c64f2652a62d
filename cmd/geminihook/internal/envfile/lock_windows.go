package envfile

import (
	"errors"
	"os"
	"syscall"
)

const (
	deleteOnClose    = 0x04000000                // FILE_FLAG_DELETE_ON_CLOSE
	sharingViolation = syscall.Errno(0x00000020) // ERROR_SHARING_VIOLATION
)

// tryLock creates the file with the name and shares it with nobody, or returns
// errInUse. The file disappears with the process at the latest. Call unlock when done.
func tryLock(name string) (*os.File, error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(path, syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL|deleteOnClose, 0)
	switch {
	case errors.Is(err, sharingViolation):
		return nil, errInUse
	case err != nil:
		return nil, &os.PathError{Op: "lock", Path: name, Err: err}
	}
	return os.NewFile(uintptr(handle), name), nil
}

func unlock(file *os.File) { _ = file.Close() }

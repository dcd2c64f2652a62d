package envfile

import (
	"errors"
	"fmt"
	"syscall"
)

// accessACL is the extended attribute with the access control list of a file, by which
// it may be readable for the user under whom the program runs.
const accessACL = "system.posix_acl_access"

// keepACL gives the file the access control list of the one that it replaces, if that
// has any.
func keepACL(file, replaced string) error {
	list := make([]byte, 64<<10) // the most that an attribute can have
	n, err := syscall.Getxattr(replaced, accessACL, list)
	switch {
	case errors.Is(err, syscall.ENODATA), errors.Is(err, syscall.ENOTSUP):
		return nil
	case err == nil:
		err = syscall.Setxattr(file, accessACL, list[:n], 0)
	}
	if err != nil {
		return fmt.Errorf("the access control list of %s cannot be kept: %w", replaced, err)
	}
	return nil
}

//go:build unix

package envfile

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives the file to the owner and the group of the one that it replaces.
// Otherwise root would take it away from the user under whom the program runs.
func keepOwner(file *os.File, replaced fs.FileInfo) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	have, ok := info.Sys().(*syscall.Stat_t)
	want, known := replaced.Sys().(*syscall.Stat_t)
	if !ok || !known || (have.Uid == want.Uid && have.Gid == want.Gid) {
		return nil
	}
	owner := -1 // as it is, because only root may name one
	if have.Uid != want.Uid {
		owner = int(want.Uid)
	}
	err = file.Chown(owner, int(want.Gid))
	if err != nil && owner == -1 && replaced.Mode()&0o070 == 0 {
		return nil // a group that may do nothing with the file
	}
	if err != nil {
		return fmt.Errorf("the file belongs to user %d and group %d, to whom only they or root can leave it: %w",
			want.Uid, want.Gid, err)
	}
	return nil
}

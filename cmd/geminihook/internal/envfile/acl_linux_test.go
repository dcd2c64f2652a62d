package envfile_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAccessControlList: a user who may read the file by its access control list may
// read it after a change.
func TestAccessControlList(t *testing.T) {
	const attribute = "system.posix_acl_access"
	entry := func(tag, permissions uint16, id uint32) []byte {
		b := binary.LittleEndian.AppendUint16(nil, tag)
		b = binary.LittleEndian.AppendUint16(b, permissions)
		return binary.LittleEndian.AppendUint32(b, id)
	}
	const none = 1<<32 - 1
	list := []byte{2, 0, 0, 0} // the version
	list = append(list, entry(0x01, 6, none)...)
	list = append(list, entry(0x02, 4, 12345)...) // a user, who may read
	list = append(list, entry(0x04, 0, none)...)
	list = append(list, entry(0x10, 4, none)...)
	list = append(list, entry(0x20, 0, none)...)

	path := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	err := syscall.Setxattr(path, attribute, list, 0)
	if errors.Is(err, syscall.ENOTSUP) {
		return // the file system has no such lists
	}
	require.NoError(t, err)
	f := open(t, path)
	require.NoError(t, f.Set("S", "v"))
	kept := make([]byte, 1024)
	n, err := syscall.Getxattr(path, attribute, kept)
	require.NoError(t, err)
	assert.Equal(t, list, kept[:n])
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o640), info.Mode(), "the group's are those of the list's mask")
}

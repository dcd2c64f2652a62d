//go:build unix

package envfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOwner: root leaves a file to its owner and its group, and so does everybody else.
// Only root can give files away, so for others it is only checked that both stay.
func TestOwner(t *testing.T) {
	for _, tt := range []struct {
		name       string
		user       int
		group      int
		mode, want fs.FileMode
	}{
		{"another user", 1, 1, 0o600, 0o600},
		{"another group", 0, 1, 0o640, 0o640},
		{"another group, which may write", 0, 1, 0o660, 0o660},
		{"both", 1, 2, 0o640, 0o640},
		{"readable by all", 1, 2, 0o644, 0o600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			user, group := tt.user, tt.group
			if os.Geteuid() != 0 {
				user, group = os.Geteuid(), os.Getegid()
			}
			require.NoError(t, os.Chown(path, user, group))
			require.NoError(t, os.Chmod(path, tt.mode))
			f := open(t, path)
			require.NoError(t, f.Set("S", "v"))
			info, err := os.Stat(path)
			require.NoError(t, err)
			owner := info.Sys().(*syscall.Stat_t)
			assert.EqualValues(t, user, owner.Uid)
			assert.EqualValues(t, group, owner.Gid)
			assert.Equal(t, tt.want, info.Mode())
		})
	}
}

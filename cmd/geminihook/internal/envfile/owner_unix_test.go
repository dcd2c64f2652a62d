//go:build unix

package envfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOwner: root leaves a file to its owner. Others cannot give files away, so for
// them it is only checked that the owner stays the same.
func TestOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	owner := os.Geteuid()
	if owner == 0 {
		owner = 1
		require.NoError(t, os.Chown(path, owner, 1))
	}
	f, err := envfile.Open(path)
	require.NoError(t, err)
	require.NoError(t, f.Set("S", "v"))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, owner, info.Sys().(*syscall.Stat_t).Uid)
}

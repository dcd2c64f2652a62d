//go:build unix

package geminihook_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

// TestSecretFilePipe: reading a pipe without a writer, or a device without an end,
// would never return.
func TestSecretFilePipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(pipe, link))
	for _, path := range []string{pipe, link, "/dev/zero"} {
		f := &geminihook.SecretFile{Path: path, Logger: slog.New(slog.DiscardHandler)}
		err := verifySigned(f, webhooktest.RandomSecret())
		require.ErrorIs(t, err, geminihook.ErrUnavailable)
		require.ErrorContains(t, err, "is not a regular file")
	}
}

// TestSecretFileBecomesPipe: the secrets in use verify deliveries nonetheless.
func TestSecretFileBecomesPipe(t *testing.T) {
	secret := webhooktest.RandomSecret()
	f, _ := newSecretFile(t, secret)
	require.NoError(t, f.Refresh(t.Context()))
	require.NoError(t, os.Remove(f.Path))
	require.NoError(t, syscall.Mkfifo(f.Path, 0o600))
	for range 3 {
		require.NoError(t, verifySigned(f, secret))
	}
	require.ErrorContains(t, f.Status().LastError, "is not a regular file")
}

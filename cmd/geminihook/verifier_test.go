//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSecretFromPipe: a shell's -secret-file <(command) can be read only once.
func TestSecretFromPipe(t *testing.T) {
	secret := webhooktest.RandomSecret()
	name := filepath.Join(t.TempDir(), "genuine.http")
	file, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t,
		webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret)).Write(file))
	require.NoError(t, file.Close())
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	_, err = writer.WriteString(secret + "\n")
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	status, out, errs := call(t, "", nil, "verify", "-secret-file",
		fmt.Sprintf("/dev/fd/%d", reader.Fd()), name)
	assert.Equal(t, exitOK, status, out+errs)
}

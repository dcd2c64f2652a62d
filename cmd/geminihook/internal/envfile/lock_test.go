package envfile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLock: a file is opened by one at a time, by whatever name.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.WriteFile(path, []byte("A=1\n"), 0o600))
	require.NoError(t, os.Symlink(path, link))
	first := open(t, path)

	waiting, opened := make(chan struct{}), make(chan *envfile.File)
	go func() {
		second, err := envfile.Open(t.Context(), link, func() { close(waiting) })
		assert.NoError(t, err)
		opened <- second
	}()
	<-waiting
	select {
	case <-opened:
		t.Fatal("opened twice")
	default:
	}
	require.NoError(t, first.Set("S", "first"))
	first.Close()
	second := <-opened
	defer second.Close()
	value, err := second.Get("S")
	require.NoError(t, err)
	assert.Equal(t, "first", value)
}

// TestLockInterrupted: whoever waits can be interrupted, and leaves nothing behind.
func TestLockInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	first := open(t, path)
	interrupted := errors.New("interrupted")
	ctx, interrupt := context.WithCancelCause(t.Context())
	_, err := envfile.Open(ctx, path, func() { interrupt(interrupted) })
	require.ErrorIs(t, err, interrupted)
	first.Close()
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// TestLockFails: a folder in which nothing can be created is refused with its name.
func TestLockFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.Mkdir(path+".geminihook-lock", 0o700))
	_, err := envfile.Open(t.Context(), path, func() {})
	require.ErrorContains(t, err, ".env.geminihook-lock")
}

// TestLockMany: of many that open the file by turns, never two have it, although the
// lock's own file is removed each time.
func TestLockMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	var inside atomic.Int32
	var done sync.WaitGroup
	for range 16 {
		done.Go(func() {
			for range 50 {
				f, err := envfile.Open(t.Context(), path, func() {})
				if !assert.NoError(t, err) {
					return
				}
				assert.EqualValues(t, 1, inside.Add(1))
				for range 20 {
					runtime.Gosched() // so that others come meanwhile
				}
				inside.Add(-1)
				f.Close()
			}
		})
	}
	done.Wait()
}

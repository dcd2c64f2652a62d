package listen_test

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRefusedFiles: whatever strangers send, before and after, a delivery of Google's
// that is refused is kept.
func TestRefusedFiles(t *testing.T) {
	forged := func(from string) *webhooktest.Delivery {
		d := webhooktest.New("x", signer).WrongSecret()
		d.Header.Set("X-Forwarded-For", from)
		return d
	}
	empty := func(from string) *webhooktest.Delivery {
		return &webhooktest.Delivery{Header: http.Header{"X-Forwarded-For": {from}}}
	}
	const google, stranger = "198.51.100.1", "192.0.2.1"
	for _, tt := range []struct {
		name          string
		before, after func() *webhooktest.Delivery
	}{
		{"empty, before", func() *webhooktest.Delivery { return empty(google) }, nil},
		{"empty, after", nil, func() *webhooktest.Delivery { return empty(google) }},
		{"without a body", func() *webhooktest.Delivery {
			d := forged(google)
			d.Body = nil
			return d
		}, func() *webhooktest.Delivery { return empty(google) }},
		{"forged, and then empty", nil, func() func() *webhooktest.Delivery {
			sent := 0
			return func() *webhooktest.Delivery {
				if sent++; sent < 200 { // then the folder is full
					return forged(google)
				}
				return empty(google)
			}
		}()},
		{"forged, before", func() *webhooktest.Delivery { return forged(google) }, nil},
		{
			"forged, from another source", func() *webhooktest.Delivery { return forged(stranger) },
			func() *webhooktest.Delivery { return forged(stranger) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, listen.Config{Dir: dir})
			flood := func(next func() *webhooktest.Delivery) {
				for range 220 {
					if next != nil {
						b.deliver(next())
					}
				}
			}
			flood(tt.before)
			d := webhooktest.New(geminihook.EventBatchFailed, signer).WrongSecret()
			d.Header.Set("X-Forwarded-For", google)
			b.deliver(d)
			flood(tt.after)
			kept, err := webhooktest.Load(os.DirFS(dir), "refused/*.http")
			require.NoError(t, err)
			assert.LessOrEqual(t, len(kept), 200)
			assert.True(t, slices.ContainsFunc(kept, func(r webhooktest.Recorded) bool {
				return r.ID() == d.ID()
			}))
		})
	}
}

// TestRefusedFilesOfBefore: the files of an earlier run are the user's, and do not keep
// out new ones.
func TestRefusedFilesOfBefore(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		b := start(t, listen.Config{Dir: dir})
		for range 210 {
			b.deliver(webhooktest.New("x", signer).WrongSecret())
		}
	}
	kept, err := filepath.Glob(filepath.Join(dir, "refused", "*.http"))
	require.NoError(t, err)
	assert.Len(t, kept, 400)
}

// TestFolderIsPrivate: other users of the machine see neither the deliveries nor their
// types.
func TestFolderIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no such permissions
	}
	dir := filepath.Join(t.TempDir(), "new")
	b := start(t, listen.Config{Dir: dir})
	b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	b.deliver(webhooktest.New("x", signer).WrongSecret())
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o077, path)
		return nil
	}))
}

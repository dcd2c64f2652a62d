package geminihook_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSecretFileLooksChanged: each sign of a change is enough.
func TestSecretFileLooksChanged(t *testing.T) {
	old, fresh := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, path string)
	}{
		{"modification time", func(t *testing.T, path string) {
			writeSecrets(t, path, fresh)
			setTime(t, path, at.Add(time.Nanosecond))
		}},
		{"size", func(t *testing.T, path string) {
			writeSecrets(t, path, fresh+"\n")
			setTime(t, path, at)
		}},
		{"identity", func(t *testing.T, path string) {
			writeSecrets(t, path+".new", fresh)
			setTime(t, path+".new", at)
			require.NoError(t, os.Rename(path+".new", path))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := newSecretFile(t, old)
			f.MinRefresh = 24 * time.Hour
			setTime(t, f.Path, at)
			require.NoError(t, f.Refresh(t.Context()))
			tt.change(t, f.Path)
			require.NoError(t, verifySigned(f, fresh))
		})
	}
}

// TestSecretFileReadsBadFileAgain: a bad file is read again after MinRefresh, also if
// the old secrets verify the deliveries, and logged again once it is good.
func TestSecretFileReadsBadFileAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, fresh := webhooktest.RandomSecret(), webhooktest.RandomSecret()
		f, log := newSecretFile(t, old)
		require.NoError(t, f.Refresh(t.Context()))
		writeSecrets(t, f.Path, strings.Repeat("!", len(fresh)))
		setTime(t, f.Path, at)
		for range 3 {
			require.NoError(t, verifySigned(f, old))
			require.NoError(t, verifySigned(f, old))
			letPass(time.Second)
		}
		assert.Equal(t, 3, f.Status().Failures)
		assert.Equal(t, 1, log.count("secrets were not read"), log.text())
		writeSecrets(t, f.Path, strings.Repeat("x", len(fresh)))
		setTime(t, f.Path, at)
		require.NoError(t, verifySigned(f, old))
		assert.Equal(t, 2, log.count("secrets were not read"), "another reason is logged")
		letPass(time.Second)

		writeSecrets(t, f.Path, fresh)
		setTime(t, f.Path, at)
		require.NoError(t, f.Refresh(t.Context()))
		require.NoError(t, verifySigned(f, fresh))
		assert.Equal(t, 2, log.count("secrets were read"), log.text())
	})
}

// TestSecretFileWarns about a secret that everybody can read, once.
func TestSecretFileWarns(t *testing.T) {
	f, log := newSecretFile(t, webhooktest.TestSecret)
	for range 3 {
		require.NoError(t, verifySigned(f, webhooktest.TestSecret))
	}
	assert.Equal(t, 1, log.count("anyone can sign with this secret"), log.text())
}

// TestSecretFileMinRefresh: a file that changes without looking changed is read
// again when no secret matches, but at most once per MinRefresh, however many
// forged deliveries arrive.
func TestSecretFileMinRefresh(t *testing.T) {
	for _, tt := range []struct {
		name         string
		set, minimum time.Duration
	}{
		{"default", 0, time.Second},
		{"a minute", time.Minute, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				secrets := []string{
					webhooktest.RandomSecret(), webhooktest.RandomSecret(),
					webhooktest.RandomSecret(), webhooktest.RandomSecret(),
				}
				f, log := newSecretFile(t, secrets[0])
				f.MinRefresh = tt.set
				setTime(t, f.Path, at)
				require.NoError(t, f.Refresh(t.Context()))
				forged := webhooktest.RandomSecret()
				for _, secret := range secrets[1:] {
					writeSecrets(t, f.Path, secret)
					setTime(t, f.Path, at)
					letPass(tt.minimum - time.Nanosecond)
					for range 100 {
						require.ErrorIs(t, verifySigned(f, forged), geminihook.ErrSignature)
					}
					early := verifySigned(f, secret)
					require.ErrorIs(t, early, geminihook.ErrSignature)
					letPass(time.Nanosecond)
					require.NoError(t, verifySigned(f, secret))
				}
				assert.Equal(t, 1, log.count("\n"), "only a visible change is logged")
			})
		})
	}
}

// TestSecretFileWhileItIsRead: deliveries that the secrets in use verify do not wait
// for a reading, and the others share it.
func TestSecretFileWhileItIsRead(t *testing.T) {
	old, fresh := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	f, _ := newSecretFile(t, old)
	require.NoError(t, f.Refresh(t.Context()))
	writeSecrets(t, f.Path, fresh+","+old)
	logging, release := make(chan struct{}), make(chan struct{})
	f.Logger = slog.New(&slowHandler{
		Handler: slog.DiscardHandler, logging: logging, release: release,
	})

	errs := make(chan error, 2)
	go func() { errs <- verifySigned(f, fresh) }()
	<-logging // the file is being read
	require.NoError(t, verifySigned(f, old))
	assert.Equal(t, 2, f.Status().Secrets)
	go func() { errs <- verifySigned(f, fresh) }()
	close(release)
	require.NoError(t, errors.Join(<-errs, <-errs))
}

// slowHandler keeps the first line until it is released.
type slowHandler struct {
	slog.Handler
	logging, release chan struct{}
}

func (h *slowHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *slowHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *slowHandler) Handle(context.Context, slog.Record) error {
	close(h.logging)
	<-h.release
	return nil
}

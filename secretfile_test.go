package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newSecretFile is a SecretFile for a file with the text, with a log that the test
// can read.
func newSecretFile(t testing.TB, text string) (f *geminihook.SecretFile, log *strings.Builder) {
	t.Helper()
	log = &strings.Builder{}
	f = &geminihook.SecretFile{
		Path:   filepath.Join(t.TempDir(), "secrets"),
		Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: log, mu: &sync.Mutex{}}, nil)),
	}
	writeSecrets(t, f.Path, text)
	return f, log
}

func writeSecrets(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// verifySigned verifies a delivery that is signed with the secrets.
func verifySigned(v geminihook.Verifier, secrets ...string) error {
	var signers []webhooktest.Signer
	for _, secret := range secrets {
		signers = append(signers, webhooktest.Static(secret))
	}
	d := webhooktest.New(geminihook.EventBatchSucceeded, signers...)
	_, err := v.Verify(context.Background(), d.Header, d.Body)
	return err
}

func TestSecretFile(t *testing.T) {
	a, b, c := webhooktest.RandomSecret(), webhooktest.RandomSecret(), webhooktest.RandomSecret()
	f, log := newSecretFile(t, a+"\n")
	require.NoError(t, f.Refresh(t.Context()))
	require.NoError(t, verifySigned(f, a))
	require.ErrorIs(t, verifySigned(f, b), geminihook.ErrSignature)

	writeSecrets(t, f.Path, b+","+a+"\n")
	require.NoError(t, verifySigned(f, b), "a change is noticed at the next delivery")
	require.NoError(t, verifySigned(f, a))

	writeSecrets(t, f.Path, c)
	require.NoError(t, f.Refresh(t.Context()))
	require.ErrorIs(t, verifySigned(f, a), geminihook.ErrSignature)
	d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(c))
	proof, err := f.Verify(t.Context(), d.Header, d.Body)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Proof{Scheme: "v1", KeyName: "whsec_..." + c[len(c)-4:]}, proof)

	assert.Equal(t, 3, strings.Count(log.String(), "gemini webhook secrets were read"), log.String())
	for _, secret := range []string{a, b, c} {
		assert.NotContains(t, log.String()+fmt.Sprintf("%+v %#v", f, f), secret[6:20])
		assert.Contains(t, log.String(), "whsec_..."+secret[len(secret)-4:])
	}
}

// TestSecretFileUnavailable: without secrets, the error never refuses a delivery.
func TestSecretFileUnavailable(t *testing.T) {
	secret := webhooktest.RandomSecret()
	good, _ := newSecretFile(t, secret)
	dir := filepath.Dir(good.Path)
	for _, tt := range []struct {
		name string
		file *geminihook.SecretFile
		want string
	}{
		{"nil", nil, "the *SecretFile is nil"},
		{"no path", &geminihook.SecretFile{}, "no such file"},
		{"no file", &geminihook.SecretFile{Path: filepath.Join(dir, "missing")}, "no such file"},
		{"a folder", &geminihook.SecretFile{Path: dir}, "is not a regular file"},
		{"a device", &geminihook.SecretFile{Path: os.DevNull}, "is not a regular file"},
		{"no such variable", &geminihook.SecretFile{Path: good.Path, Variable: "S"}, "has no line S=..."},
		{"negative", &geminihook.SecretFile{Path: good.Path, MinRefresh: -1}, "SecretFile.MinRefresh is negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file != nil {
				tt.file.Logger = slog.New(slog.DiscardHandler)
			}
			for _, err := range []error{tt.file.Refresh(t.Context()), verifySigned(tt.file, secret)} {
				require.ErrorIs(t, err, geminihook.ErrUnavailable)
				require.NotErrorIs(t, err, geminihook.ErrSignature)
				require.ErrorContains(t, err, tt.want)
			}
			assert.Zero(t, tt.file.Status().Secrets)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := good.Refresh(ctx)
	require.ErrorIs(t, err, geminihook.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
}

// TestSecretFileBad files leave the old secrets in use, and are logged once.
func TestSecretFileBad(t *testing.T) {
	old, fresh := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "secret is empty"},
		{"half written", fresh[:20], "secret is too short"},
		{"one of two bad", fresh + ",whsec_...3frh", "secret 2 of 2 is the truncated form"},
		{"a binary file", "\x00\xff\x00", "secret is not base64"},
		{"too long", strings.Repeat(fresh+"\n", 2_000), "is longer than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, log := newSecretFile(t, old)
			require.NoError(t, f.Refresh(t.Context()))
			for i := range 2 { // a second change is logged, too
				writeSecrets(t, f.Path, tt.text)
				setTime(t, f.Path, at.Add(time.Duration(i)*time.Second))
				for range 3 {
					require.NoError(t, verifySigned(f, old))
				}
			}
			assert.Equal(t, 2, strings.Count(log.String(), "level=ERROR"), log.String())
			assert.Contains(t, log.String(), tt.want)
			assert.NotContains(t, log.String(), fresh[8:18])
			status := f.Status()
			assert.Equal(t, 1, status.Secrets)
			assert.Equal(t, 2, status.Failures)
			require.ErrorContains(t, status.LastError, tt.want)
			require.NoError(t, f.Refresh(t.Context()), "there are secrets")

			writeSecrets(t, f.Path, fresh+"\n"+old)
			require.NoError(t, verifySigned(f, fresh))
			assert.Zero(t, f.Status().Failures)
			require.NoError(t, f.Status().LastError)
		})
	}
}

func setTime(t testing.TB, path string, at time.Time) {
	t.Helper()
	require.NoError(t, os.Chtimes(path, at, at))
}

// TestSecretFileMissing: the file may appear late, and be away for a while.
func TestSecretFileMissing(t *testing.T) {
	a, b := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	f, log := newSecretFile(t, a)
	require.NoError(t, os.Remove(f.Path))
	for range 3 {
		err := verifySigned(f, a)
		require.ErrorIs(t, err, geminihook.ErrUnavailable)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	writeSecrets(t, f.Path, a)
	require.NoError(t, verifySigned(f, a), "at once")
	require.NoError(t, os.Remove(f.Path))
	for range 3 {
		require.NoError(t, verifySigned(f, a))
	}
	writeSecrets(t, f.Path, b)
	require.NoError(t, verifySigned(f, b))
	assert.Equal(t, 2, strings.Count(log.String(), "level=ERROR"), log.String())
}

// TestSecretFileRefusesFirst what no secret could verify, without looking at the
// file: a missing file is not a reason to respond with 503 to it.
func TestSecretFileRefusesFirst(t *testing.T) {
	f := &geminihook.SecretFile{Path: filepath.Join(t.TempDir(), "missing"), Logger: slog.New(slog.DiscardHandler)}
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		want     error
	}{
		{"no headers", webhooktest.NewBody([]byte("{}")), geminihook.ErrHeader},
		{"too old", newBatch().Sign(time.Now().Add(-time.Hour), signer), geminihook.ErrTimestamp},
		{"dynamic", webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Dynamic(webhooktest.Key(1))), geminihook.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := f.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, geminihook.SecretFileStatus{}, f.Status())
		})
	}
}

// TestSecretFileTolerance and clock are those of the SecretFile.
func TestSecretFileTolerance(t *testing.T) {
	f, _ := newSecretFile(t, webhooktest.TestSecret)
	f.Now = func() time.Time { return at }
	f.Tolerance = time.Hour
	for _, tt := range []struct {
		name string
		late time.Duration
		want error
	}{
		{"in time", time.Hour, nil},
		{"late", time.Hour + time.Second, geminihook.ErrTimestamp},
		{"early", -time.Hour - time.Second, geminihook.ErrTimestamp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newBatch().Sign(at.Add(-tt.late), signer)
			_, err := f.Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, tt.want)
		})
	}
	assert.Equal(t, geminihook.SecretFileStatus{Secrets: 1, ReadAt: at}, f.Status())
}

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
		assert.Equal(t, 1, strings.Count(log.String(), "secrets were not read"), log.String())
		writeSecrets(t, f.Path, strings.Repeat("x", len(fresh)))
		setTime(t, f.Path, at)
		require.NoError(t, verifySigned(f, old))
		assert.Equal(t, 2, strings.Count(log.String(), "secrets were not read"), "another reason is logged")
		letPass(time.Second)

		writeSecrets(t, f.Path, fresh)
		setTime(t, f.Path, at)
		require.NoError(t, f.Refresh(t.Context()))
		require.NoError(t, verifySigned(f, fresh))
		assert.Equal(t, 2, strings.Count(log.String(), "secrets were read"), log.String())
	})
}

// TestSecretFileWarns about a secret that everybody can read, once.
func TestSecretFileWarns(t *testing.T) {
	f, log := newSecretFile(t, webhooktest.TestSecret)
	for range 3 {
		require.NoError(t, verifySigned(f, webhooktest.TestSecret))
	}
	assert.Equal(t, 1, strings.Count(log.String(), "anyone can sign with this secret"), log.String())
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
					require.ErrorIs(t, verifySigned(f, secret), geminihook.ErrSignature, "the file is not read yet")
					letPass(time.Nanosecond)
					require.NoError(t, verifySigned(f, secret))
				}
				assert.Equal(t, 1, strings.Count(log.String(), "\n"), "readings without a visible change are not logged")
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
	f.Logger = slog.New(&slowHandler{Handler: slog.DiscardHandler, logging: logging, release: release})

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

package geminihook_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newSecretFile is a SecretFile for a file with the text, with a log that the test
// can read.
func newSecretFile(t testing.TB, text string) (*geminihook.SecretFile, *secretLog) {
	t.Helper()
	log := &secretLog{}
	f := &geminihook.SecretFile{
		Path:   filepath.Join(t.TempDir(), "secrets"),
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	}
	writeSecrets(t, f.Path, text)
	return f, log
}

// secretLog keeps what a SecretFile logs.
type secretLog struct {
	mu    sync.Mutex
	lines strings.Builder
}

// Write implements [io.Writer].
func (l *secretLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(b)
}

func (l *secretLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// count tells how often the words were logged.
func (l *secretLog) count(words string) int { return strings.Count(l.text(), words) }

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

	assert.Equal(t, 3, log.count("gemini webhook secrets were read"), log.text())
	for _, secret := range []string{a, b, c} {
		assert.NotContains(t, log.text()+fmt.Sprintf("%+v %#v", f, f), secret[6:20])
		assert.Contains(t, log.text(), "whsec_..."+secret[len(secret)-4:])
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
		{"no such variable", &geminihook.SecretFile{Path: good.Path, Variable: "S"}, "has no line that sets S"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file != nil {
				tt.file.Logger = slog.New(slog.DiscardHandler)
			}
			errs := []error{tt.file.Refresh(t.Context()), verifySigned(tt.file, secret)}
			for _, err := range errs {
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

// TestSecretFileBad: a bad file leaves the old secrets in use, and is logged once.
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
			assert.Equal(t, 2, log.count("level=ERROR"), log.text())
			assert.Contains(t, log.text(), tt.want)
			assert.NotContains(t, log.text(), fresh[8:18])
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
	assert.Equal(t, 2, log.count("level=ERROR"), log.text())
}

// TestSecretFileRefusesFirst: what no secret could verify is refused without looking at
// the file. That the file is missing is no reason to respond with 503.
func TestSecretFileRefusesFirst(t *testing.T) {
	f := &geminihook.SecretFile{
		Path: filepath.Join(t.TempDir(), "missing"), Logger: slog.New(slog.DiscardHandler),
	}
	dynamic := webhooktest.Dynamic(webhooktest.Key(1))
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		want     error
	}{
		{"no headers", webhooktest.NewBody([]byte("{}")), geminihook.ErrHeader},
		{"too old", newBatch().Sign(time.Now().Add(-time.Hour), signer), geminihook.ErrTimestamp},
		{"dynamic", webhooktest.New(geminihook.EventBatchSucceeded, dynamic), geminihook.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := f.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, geminihook.SecretFileStatus{}, f.Status())
		})
	}
}

// TestSecretFileTolerance: the tolerance and the clock are those of the SecretFile.
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

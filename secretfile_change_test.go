package geminihook_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
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

// TestSecretFileWarns: a secret that everybody can read gives one warning.
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

// TestSecretFileFlood: of the forged deliveries that wait while another one looks at
// the file, one looks again for all of them. If each did, they would pile up before a
// slow disk, and before a genuine one that is signed with a new secret.
func TestSecretFileFlood(t *testing.T) {
	const flood = 100
	f, _ := newSecretFile(t, webhooktest.RandomSecret())
	f.MinRefresh = time.Nanosecond
	require.NoError(t, f.Refresh(t.Context()))
	writeSecrets(t, f.Path, "bad")
	logging, release := make(chan struct{}), make(chan struct{})
	f.Logger = slog.New(&slowHandler{
		Handler: slog.DiscardHandler, logging: logging, release: release,
	})

	forged := webhooktest.RandomSecret()
	var wg sync.WaitGroup
	send := func() { assert.ErrorIs(t, verifySigned(f, forged), geminihook.ErrSignature) }
	wg.Go(send)
	<-logging // it is looking
	for range flood {
		wg.Go(send)
	}
	for goroutinesIn("[select", "(*SecretFile).current") < flood {
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	// The first one looks twice, because no secret matches.
	assert.LessOrEqual(t, f.Status().Failures, 3)
}

// goroutinesIn returns how many goroutines have all of the texts in their stack.
func goroutinesIn(texts ...string) (n int) {
	stacks := make([]byte, 8<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		missing := func(text string) bool { return !strings.Contains(stack, text) }
		if !slices.ContainsFunc(texts, missing) {
			n++
		}
	}
	return n
}

// TestSecretFileHangs: if the disk hangs, a delivery that waits for it ends with its
// request, and it is not decided about.
func TestSecretFileHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := webhooktest.RandomSecret()
		f, _ := newSecretFile(t, secret)
		logging, release := make(chan struct{}), make(chan struct{})
		f.Logger = slog.New(&slowHandler{
			Handler: slog.DiscardHandler, logging: logging, release: release,
		})
		go func() { _ = f.Refresh(t.Context()) }()
		<-logging // it is looking, and hangs
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret))
		_, err := f.Verify(ctx, d.Header, d.Body)
		require.NoError(t, err, "the secrets are in use already")
		_, err = f.Verify(ctx, d.WrongSecret().Header, d.Body)
		require.ErrorIs(t, err, geminihook.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
	})
}

// TestSecretFileChangesDuringRead: what changes while the file is read is noticed at
// the next delivery, even if MinRefresh has not passed.
func TestSecretFileChangesDuringRead(t *testing.T) {
	text := webhooktest.RandomSecret() + strings.Repeat("\n", 60_000)
	f, _ := newSecretFile(t, text)
	f.MinRefresh = 24 * time.Hour
	file, err := os.OpenFile(f.Path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer file.Close()
	size := int64(len(text))
	shorten := func() error {
		size--
		return file.Truncate(size)
	}
	for range 300 {
		fresh := webhooktest.RandomSecret()
		require.NoError(t, shorten()) // it looks changed, so it is read
		var wg sync.WaitGroup
		wg.Go(func() { _ = f.Refresh(t.Context()) })
		wg.Go(func() {
			for range rand.IntN(100_000) { // until some time during the reading
			}
			_, err := file.WriteAt([]byte(fresh), 0)
			assert.NoError(t, errors.Join(err, shorten()))
		})
		wg.Wait()
		require.NoError(t, verifySigned(f, fresh))
	}
}

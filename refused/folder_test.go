package refused_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/refused"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSharedFolder checks that the recorders of several processes may write to
// one folder: a file that one of them wants to remove may be gone.
func TestSharedFolder(t *testing.T) {
	dir := t.TempDir()
	forged := webhooktest.New(geminihook.EventBatchSucceeded, signer).WrongSecret()
	var logs [4]bytes.Buffer
	var all sync.WaitGroup
	for i := range logs {
		r := &refused.Recorder{
			Dir: dir, MaxFiles: 2, Interval: time.Nanosecond,
			Logger: slog.New(slog.NewTextHandler(&logs[i], &slog.HandlerOptions{Level: slog.LevelWarn})),
		}
		h := r.Wrap(newEndpoint(t).Handler(accept))
		all.Go(func() {
			for range 100 {
				post(h, forged.Request("/"))
			}
		})
	}
	all.Wait()
	for i := range logs {
		assert.Empty(t, logs[i].String())
	}
}

// TestNoFiles checks that a negative number of files does not make the recorder
// panic after the response.
func TestNoFiles(t *testing.T) {
	r, _ := newRecorder(t)
	r.MaxFiles = -5
	h := r.Wrap(newEndpoint(t).Handler(accept))
	assert.Equal(t, 400, post(h, webhooktest.New("x", signer).WrongSecret().Request("/")))
	assert.Len(t, files(t, r), 1)
}

// TestLeastFiles: at least the newest file is kept.
func TestLeastFiles(t *testing.T) {
	r, c := newRecorder(t)
	r.MaxFiles, r.Interval = -1, time.Minute
	h := r.Wrap(newEndpoint(t).Handler(accept))
	for range 3 {
		forged := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.RandomSecret()))
		require.Equal(t, http.StatusBadRequest, post(h, forged.Request("/")))
		c.move(time.Hour)
	}
	require.Len(t, files(t, r), 1)
}

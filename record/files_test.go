package record_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestModes checks that the folder and the files are for their owner alone.
func TestModes(t *testing.T) {
	g := newRig(t, &record.Recorder{Dir: filepath.Join(t.TempDir(), "a", "b")})
	g.post(g.delivery("msg_1"), errPoison)
	for path, want := range map[string]os.FileMode{
		filepath.Dir(g.recorder.Dir):                 os.ModeDir | 0o700,
		g.recorder.Dir:                               os.ModeDir | 0o700,
		filepath.Join(g.recorder.Dir, g.names(t)[0]): 0o600,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode(), path)
	}
}

// TestStrangers: nothing that is not verified replaces, removes or pushes out what
// is, and nothing without complete headers what has them.
func TestStrangers(t *testing.T) {
	g := newRig(t, &record.Recorder{MaxFiles: 3})
	g.post(g.delivery("msg_1"), errPoison)
	failed := g.only(t)
	same := g.delivery("msg_1").WrongSecret()
	g.post(same, nil)
	for i := range 10 {
		g.move(time.Minute)
		g.post(g.delivery("msg_"+strconv.Itoa(i)).WrongSecret(), nil)
	}
	assert.Equal(t, "failed 1, rejected 3", g.kinds(t))
	complete := g.names(t)
	for i := range 10 {
		g.move(time.Minute)
		d := g.delivery("msg_" + strconv.Itoa(i))
		d.Header.Del("webhook-signature")
		g.post(d, nil)
	}
	assert.Equal(t, complete, g.names(t))
	for _, name := range complete {
		if strings.HasPrefix(name, "failed-") {
			b, err := os.ReadFile(filepath.Join(g.recorder.Dir, name))
			require.NoError(t, err)
			assert.Equal(t, failed, string(b))
		}
	}
}

// TestKindsApart: what is verified does not push out what is not, either.
func TestKindsApart(t *testing.T) {
	g := newRig(t, &record.Recorder{MaxFiles: 1})
	d := g.delivery("msg_1")
	d.Header.Del("webhook-signature")
	g.post(d, nil)
	g.post(g.delivery("msg_1"), errPoison)
	g.post(g.delivery("msg_2"), errPoison)
	assert.Equal(t, "failed 1, rejected-incomplete 1", g.kinds(t))
	g.post(g.delivery("msg_1"), nil)
	assert.Equal(t, "failed 1, rejected-incomplete 1", g.kinds(t), "what was rejected is evidence")
}

// TestIncomplete: deliveries without complete headers share what is free, and make
// room for those that have them.
func TestIncomplete(t *testing.T) {
	g := newRig(t, &record.Recorder{MaxFiles: 3})
	post := func(id string, complete bool) {
		d := g.delivery(id).WrongSecret()
		if !complete {
			d.Header.Del("webhook-timestamp")
		}
		g.post(d, nil)
		g.move(time.Minute)
	}
	post("msg_1", false)
	post("msg_1", true)
	assert.Equal(t, "rejected 1, rejected-incomplete 1", g.kinds(t), "even of the same id")
	post("msg_2", false)
	post("msg_3", false)
	assert.Equal(t, "rejected 1, rejected-incomplete 2", g.kinds(t))
	post("msg_2", true)
	post("msg_3", true)
	assert.Equal(t, "rejected 3", g.kinds(t))
	post("msg_4", true)
	assert.Equal(t, "rejected 3", g.kinds(t))
}

// TestOldest: the oldest files are removed, by their last attempts.
func TestOldest(t *testing.T) {
	g := newRig(t, &record.Recorder{MaxFiles: 2})
	for _, id := range []string{"a", "b", "a", "c"} {
		g.post(g.delivery(id), errPoison)
		g.move(time.Second)
	}
	loaded, err := webhooktest.Load(os.DirFS(g.recorder.Dir), "*.http")
	require.NoError(t, err)
	var ids []string
	for _, d := range loaded {
		ids = append(ids, d.ID())
	}
	assert.ElementsMatch(t, []string{"a", "c"}, ids)

	g.move(-time.Hour)
	g.post(g.delivery("d"), errPoison) // the newest is kept, even if the clock was set back
	g.move(2 * time.Hour)
	g.post(g.delivery("e"), errPoison) // d is now the oldest by its time
	loaded, err = webhooktest.Load(os.DirFS(g.recorder.Dir), "*.http")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"c", "e"}, []string{loaded[0].ID(), loaded[1].ID()})

	g.recorder.MaxFiles = -5
	g.move(time.Hour)
	g.post(g.delivery("f"), errPoison)
	assert.Len(t, g.names(t), 1, "the newest is always kept")
}

// TestShared: the recorders of several processes may write to one folder, in which a
// file may be gone at any moment.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	var logs [4]bytes.Buffer
	var all sync.WaitGroup
	for i := range logs {
		g := newRig(t, &record.Recorder{Dir: dir, MaxFiles: 2, Interval: time.Nanosecond})
		warnings := &slog.HandlerOptions{Level: slog.LevelWarn}
		g.recorder.Logger = slog.New(slog.NewTextHandler(&logs[i], warnings))
		all.Go(func() {
			for n := range 50 {
				id := "msg_" + strconv.Itoa(n%5)
				g.move(time.Second)
				g.post(g.delivery(id).WrongSecret(), nil)
				g.post(g.delivery(id), errPoison)
				g.post(g.delivery(id), nil)
			}
		})
	}
	all.Wait()
	for i := range logs {
		for line := range strings.Lines(logs[i].String()) {
			assert.Contains(t, line, "there are more than MaxFiles", "nothing else goes wrong")
		}
	}
}

// TestLeftovers: what a process that was killed has not renamed is removed, and the
// files of others are not.
func TestLeftovers(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	require.NoError(t, os.MkdirAll(g.recorder.Dir, 0o700))
	for name, at := range map[string]time.Time{
		".recording-1":     noon.Add(-2 * time.Hour),
		".recording-2":     noon,
		"failed-notes.txt": noon.Add(-2 * time.Hour),
	} {
		path := filepath.Join(g.recorder.Dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
	}
	g.recorder.MaxFiles = 1
	g.post(g.delivery("msg_1"), errPoison)
	names := g.names(t)
	require.Len(t, names, 3)
	assert.Equal(t, ".recording-2", names[0])
	assert.Contains(t, names, "failed-notes.txt")
}

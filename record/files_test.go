package record_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
			b, err := os.ReadFile(filepath.Join(g.Dir, name))
			require.NoError(t, err)
			assert.Equal(t, failed, string(b))
		}
	}
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

// TestForbidden: anyone can cause a forbidden delivery with a dynamic webhook, so it
// must not push out an event that failed.
func TestForbidden(t *testing.T) {
	g := newRig(t, &record.Recorder{
		MaxFiles: 1, Results: []geminihook.Result{geminihook.Failed, geminihook.Forbidden},
	})
	g.post(g.delivery("msg_1"), errPoison)
	g.endpoint.Authorize = func(context.Context, *geminihook.Event) error { return geminihook.ErrForbidden }
	for i := range 3 {
		g.post(g.delivery("msg_"+strconv.Itoa(i)), nil)
	}
	assert.Equal(t, "failed 1, forbidden 1", g.kinds(t))
	assert.Equal(t, 1, strings.Count(g.logs.String(), "result=forbidden"), "the Interval applies")
}

// TestOldest: the oldest files are removed, by their last attempts.
func TestOldest(t *testing.T) {
	g := newRig(t, &record.Recorder{MaxFiles: 2})
	for _, id := range []string{"a", "b", "a", "c"} {
		g.post(g.delivery(id), errPoison)
		g.move(time.Second)
	}
	loaded, err := webhooktest.Load(os.DirFS(g.Dir), "*.http")
	require.NoError(t, err)
	var ids []string
	for _, d := range loaded {
		ids = append(ids, d.ID())
	}
	assert.ElementsMatch(t, []string{"a", "c"}, ids)

	g.move(-time.Hour)
	g.post(g.delivery("d"), errPoison)
	loaded, err = webhooktest.Load(os.DirFS(g.Dir), "*.http")
	require.NoError(t, err)
	assert.True(t, loaded[0].ID() == "d" || loaded[1].ID() == "d", "even if the clock was set back")

	g.MaxFiles = -5
	g.move(time.Hour)
	g.post(g.delivery("e"), errPoison)
	assert.Len(t, g.names(t), 1, "the newest is always kept")
}

// TestInterval: what strangers send is written at most once per Interval, and what is
// verified always.
func TestInterval(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	forge := func(id string) { g.post(g.delivery(id).WrongSecret(), nil) }
	forge("msg_1")
	forge("msg_2")
	g.move(10*time.Second - 1)
	forge("msg_3")
	assert.Equal(t, "rejected 1", g.kinds(t))
	g.move(1)
	forge("msg_4")
	assert.Equal(t, "rejected 2", g.kinds(t))
	for _, id := range []string{"msg_5", "msg_6", "msg_7"} {
		g.post(g.delivery(id), errPoison)
	}
	assert.Equal(t, "failed 3, rejected 2", g.kinds(t))
	g.move(-time.Hour)
	forge("msg_8")
	assert.Equal(t, "failed 3, rejected 3", g.kinds(t), "a clock that was set back stops nothing")

	g.move(time.Hour)
	d := g.delivery("msg_9")
	d.Header = http.Header{"Content-Type": {"application/json"}}
	g.post(d, nil) // no delivery
	forge("msg_9")
	assert.Equal(t, "failed 3, rejected 4", g.kinds(t), "what is not recorded does not count")
}

// TestFlood: within the Interval, a forged delivery touches no disk and costs next to
// nothing, however large its headers are.
func TestFlood(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	forged := g.delivery("msg_1").WrongSecret()
	forged.Header.Set("webhook-signature", strings.Repeat("é", 1<<20))
	o := geminihook.Outcome{
		Result: geminihook.Rejected, Err: geminihook.ErrSignature, Header: forged.Header, Body: forged.Body,
	}
	g.post(g.delivery("msg_2").WrongSecret(), nil)
	require.NoError(t, os.RemoveAll(g.Dir))
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { g.Observe(t.Context(), o) }), 2.0)
	assert.Empty(t, g.names(t))

	g.move(time.Minute)
	g.Observe(t.Context(), o)
	assert.Empty(t, g.names(t))
	assert.Contains(t, g.logs.String(), "too large", "the header is bounded, too")
}

// TestHostileText: a reason, a job or a header may hold anything, and the file keeps
// its form.
func TestHostileText(t *testing.T) {
	hostile := "a\r\nWebhook-Id: msg_x\r\n\r\nbody\x00\x1b[2J\xff\u202e" + strings.Repeat("é", 5000)
	g := newRig(t, &record.Recorder{})
	g.Observe(t.Context(), geminihook.Outcome{
		Result: geminihook.Failed, ID: "msg_1", Err: errors.New(hostile),
		Event:  &geminihook.Event{ID: "msg_1", Data: &geminihook.BatchExpired{ID: hostile}, Raw: []byte("{}")},
		Header: http.Header{"webhook-id": {"msg_1"}, "Content-Type": {"x\r\n\r\n\x00"}},
		Body:   []byte("{}"),
	})
	content := g.only(t)
	assert.Less(t, len(content), 3000)
	assert.NotContains(t, content, "\x1b")
	assert.NotContains(t, content, "\u202e")
	loaded, err := webhooktest.Load(os.DirFS(g.Dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, "{}", string(loaded[0].Body))
	assert.Equal(t, http.Header{"Webhook-Id": {"msg_1"}, "Content-Type": {"x"}}, loaded[0].Header)
}

// TestLowerCase: serverless adapters may keep the names of the headers as they were.
func TestLowerCase(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	d := g.delivery("msg_1").WrongSecret()
	lower := http.Header{}
	for name, values := range d.Header {
		lower[strings.ToLower(name)] = values
	}
	g.Observe(t.Context(), geminihook.Outcome{
		Result: geminihook.Rejected, Err: geminihook.ErrSignature, Header: lower, Body: d.Body,
	})
	assert.Equal(t, "rejected 1", g.kinds(t))
	loaded, err := webhooktest.Load(os.DirFS(g.Dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, d.Header, loaded[0].Header)
}

// TestContentLength: a body that was cut on its way to the endpoint is recorded with
// the length that was announced, so that "geminihook verify" sees it.
func TestContentLength(t *testing.T) {
	for _, tt := range []struct {
		name      string
		announced string
		err       error
		want      string
	}{
		{"longer than the body", "70", geminihook.ErrSignature, "Content-Length: 70\r\n\r\n{}"},
		{"shorter", "1", geminihook.ErrSignature, "Content-Length: 2\r\n\r\n{}"},
		{"no number", "-7x", geminihook.ErrSignature, "Content-Length: 2\r\n\r\n{}"},
		{"not read", "70", geminihook.ErrHeader, "Content-Length: 0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, &record.Recorder{})
			o := geminihook.Outcome{
				Result: geminihook.Rejected, Err: tt.err, Body: []byte("{}"),
				Header: http.Header{"Webhook-Id": {"a"}, "Content-Length": {tt.announced}},
			}
			if tt.name == "not read" {
				o.Body = nil
			}
			g.Observe(t.Context(), o)
			content := g.only(t)
			assert.True(t, strings.HasSuffix(content, tt.want), content)
			assert.Equal(t, o.Body == nil, strings.Contains(content, "Geminihook-Body: not read\r\n"))
		})
	}
}

// TestShared: the recorders of several processes may write to one folder, in which a
// file may be gone at any moment.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	var logs [4]bytes.Buffer
	var all sync.WaitGroup
	for i := range logs {
		g := newRig(t, &record.Recorder{Dir: dir, MaxFiles: 2, Interval: time.Nanosecond})
		g.Logger = slog.New(slog.NewTextHandler(&logs[i], &slog.HandlerOptions{Level: slog.LevelWarn}))
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
		assert.Empty(t, logs[i].String())
	}
}

// TestLeftovers: what a process that was killed has not renamed is removed, and the
// files of others are not.
func TestLeftovers(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	require.NoError(t, os.MkdirAll(g.Dir, 0o700))
	for name, at := range map[string]time.Time{
		".recording-1": noon.Add(-2 * time.Hour), ".recording-2": noon, "failed-notes.txt": noon.Add(-2 * time.Hour),
	} {
		path := filepath.Join(g.Dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
	}
	g.MaxFiles = 1
	g.post(g.delivery("msg_1"), errPoison)
	names := g.names(t)
	require.Len(t, names, 3)
	assert.Equal(t, ".recording-2", names[0])
	assert.Contains(t, names, "failed-notes.txt")
}

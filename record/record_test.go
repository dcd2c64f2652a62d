package record_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

var signer = webhooktest.Static(webhooktest.TestSecret)

// noon is when the clock of a rig begins.
var noon = time.Date(2026, 1, 22, 12, 0, 0, 0, time.UTC)

// rig is a recorder behind an endpoint, with a clock that the test moves.
type rig struct {
	*record.Recorder
	endpoint *geminihook.Endpoint
	logs     *bytes.Buffer

	mu sync.Mutex
	at time.Time
}

func newRig(t *testing.T, r *record.Recorder) *rig {
	t.Helper()
	g := &rig{Recorder: r, logs: &bytes.Buffer{}, at: noon}
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	verifier.Now = g.now
	if r.Dir == "" {
		r.Dir = filepath.Join(t.TempDir(), "deliveries")
	}
	r.Now = g.now
	r.Logger = slog.New(slog.NewTextHandler(g.logs, nil))
	g.endpoint = &geminihook.Endpoint{
		Verifier: verifier, Observe: r.Observe, Logger: slog.New(slog.DiscardHandler),
	}
	return g
}

func (g *rig) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

// move moves the clock.
func (g *rig) move(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = g.at.Add(d)
}

// delivery returns a delivery that is sent now.
func (g *rig) delivery(id string) *webhooktest.Delivery {
	d := webhooktest.NewBody([]byte(`{"type":"batch.failed","data":{"id":"batches/1"}}`))
	d.SetID(id)
	return d.Sign(g.now(), signer)
}

// post delivers d while the endpoint's function returns err.
func (g *rig) post(d *webhooktest.Delivery, err error) int {
	fn := func(context.Context, *geminihook.Event) error { return err }
	return webhooktest.Post(g.endpoint.Handler(fn), d)
}

// names returns the names of all files in the folder.
func (g *rig) names(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(g.Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// kinds counts the files of each kind, such as "failed 2".
func (g *rig) kinds(t *testing.T) string {
	t.Helper()
	var all []string
	count := map[string]int{}
	for _, name := range g.names(t) {
		kind := name[:strings.LastIndexByte(name, '-')]
		if count[kind]++; count[kind] == 1 {
			all = append(all, kind)
		}
	}
	for i, kind := range all {
		all[i] = fmt.Sprintf("%s %d", kind, count[kind])
	}
	return strings.Join(all, ", ")
}

// only returns the content of the only file.
func (g *rig) only(t *testing.T) string {
	t.Helper()
	names := g.names(t)
	require.Len(t, names, 1)
	b, err := os.ReadFile(filepath.Join(g.Dir, names[0]))
	require.NoError(t, err)
	return string(b)
}

var errPoison = errors.New("poison")

// TestObserve checks what is recorded by default, and as which kind.
func TestObserve(t *testing.T) {
	good := func(g *rig) *webhooktest.Delivery { return g.delivery("msg_1") }
	without := func(names ...string) func(g *rig) *webhooktest.Delivery {
		return func(g *rig) *webhooktest.Delivery {
			d := g.delivery("msg_1")
			for _, name := range names {
				d.Header.Del(name)
			}
			return d
		}
	}
	large := func(g *rig) *webhooktest.Delivery {
		body := append([]byte(`{"type":"x"}`), bytes.Repeat([]byte(" "), 64<<10)...)
		return webhooktest.NewBody(body).Sign(g.now(), signer)
	}
	for _, tt := range []struct {
		name     string
		delivery func(g *rig) *webhooktest.Delivery
		err      error
		status   int
		want     string
	}{
		{"processed", good, nil, 200, ""},
		{"failed", good, errPoison, 500, "failed 1"},
		{"dropped", good, geminihook.Permanent(errPoison), 200, "failed 1"},
		{"forged", func(g *rig) *webhooktest.Delivery { return good(g).WrongSecret() }, nil, 400, "rejected 1"},
		{"not JSON", func(g *rig) *webhooktest.Delivery { return webhooktest.NewBody([]byte("x")).Sign(g.now(), signer) }, nil, 400, "rejected 1"},
		{"no signature", without("webhook-signature"), nil, 400, "rejected-incomplete 1"},
		{"no id", without("webhook-id"), nil, 400, "rejected-incomplete 1"},
		{"no delivery", without("webhook-id", "webhook-timestamp", "webhook-signature"), nil, 400, ""},
		{"failed and large", large, errPoison, 500, ""},
		{"forged and large", func(g *rig) *webhooktest.Delivery { return large(g).Tampered() }, nil, 400, ""},
		{"too large", func(g *rig) *webhooktest.Delivery { return good(g).Oversized(2 << 20) }, nil, 413, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, &record.Recorder{})
			assert.Equal(t, tt.status, g.post(tt.delivery(g), tt.err))
			assert.Equal(t, tt.want, g.kinds(t))
			assert.Equal(t, strings.Contains(tt.name, "large"), strings.Contains(g.logs.String(), "too large"))
		})
	}
	t.Run("not a POST", func(t *testing.T) {
		g := newRig(t, &record.Recorder{})
		r := g.delivery("msg_1").Request("/")
		r.Method = http.MethodPut
		g.endpoint.Handler(func(context.Context, *geminihook.Event) error { return nil }).
			ServeHTTP(httptest.NewRecorder(), r)
		assert.Empty(t, g.names(t))
	})
	t.Run("panic", func(t *testing.T) {
		g := newRig(t, &record.Recorder{})
		h := g.endpoint.Handler(func(context.Context, *geminihook.Event) error { panic("poison") })
		assert.Panics(t, func() { webhooktest.Post(h, g.delivery("msg_1")) })
		assert.Equal(t, "failed 1", g.kinds(t))
	})
	t.Run("zero outcome", func(t *testing.T) {
		g := newRig(t, &record.Recorder{Results: []geminihook.Result{""}})
		g.Observe(t.Context(), geminihook.Outcome{})
		assert.Empty(t, g.names(t))
	})
}

// TestFile checks every line of a file: a recorded event verifies, and nothing else
// of the request is in it.
func TestFile(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	d := g.delivery("msg_../1")
	d.Header["Webhook-Signature"] = []string{"v2,x", d.Header.Get("webhook-signature")}
	r := d.Request("/gemini?token=confidential")
	r.Header.Set("Cookie", "confidential")
	r.Header.Set("Authorization", "confidential")
	r.Header.Set("Content-Encoding", "identity")
	r.Header.Set("Geminihook-Result", "processed")
	h := g.endpoint.Handler(func(context.Context, *geminihook.Event) error { return errPoison })
	h.ServeHTTP(httptest.NewRecorder(), r)

	name := g.names(t)[0]
	assert.Regexp(t, `^failed-[0-9a-f]{32}\.http$`, name)
	content := g.only(t)
	head, body, _ := strings.Cut(content, "\r\n\r\n")
	assert.Equal(t, string(d.Body), body)
	assert.Equal(t, []string{
		"POST / HTTP/1.1",
		"Host: localhost",
		"Content-Encoding: identity",
		"Content-Type: application/json",
		"Geminihook-First-Attempt: 2026-01-22T12:00:00Z",
		"Geminihook-Job: batches/1",
		"Geminihook-Last-Attempt: 2026-01-22T12:00:00Z",
		"Geminihook-Reason: poison",
		"Geminihook-Result: failed",
		"Webhook-Id: msg_../1",
		"Webhook-Signature: v2,x",
		"Webhook-Signature: " + d.Header["Webhook-Signature"][1],
		"Webhook-Timestamp: " + d.Header.Get("webhook-timestamp"),
		fmt.Sprintf("Content-Length: %d", len(d.Body)),
	}, strings.Split(head, "\r\n"))

	loaded, err := webhooktest.Load(os.DirFS(g.Dir), "*.http")
	require.NoError(t, err)
	d.Header.Set("Content-Encoding", "identity")
	assert.Equal(t, d.Header, loaded[0].Header)
	assert.Equal(t, 200, g.post(loaded[0].Delivery, nil))
	assert.Contains(t, g.logs.String(), name)
}

// TestModes checks that the folder and the files are for their owner alone.
func TestModes(t *testing.T) {
	g := newRig(t, &record.Recorder{Dir: filepath.Join(t.TempDir(), "a", "b")})
	g.post(g.delivery("msg_1"), errPoison)
	for path, want := range map[string]os.FileMode{
		filepath.Dir(g.Dir):                 os.ModeDir | 0o700,
		g.Dir:                               os.ModeDir | 0o700,
		filepath.Join(g.Dir, g.names(t)[0]): 0o600,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode(), path)
	}
}

// TestAttempts: later attempts replace the file and keep the time of the first one,
// and the attempt that succeeds removes it.
func TestAttempts(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	g.post(g.delivery("msg_2"), errPoison)
	other := g.names(t)
	for range 3 {
		g.post(g.delivery("msg_1"), errPoison)
		g.move(time.Hour)
	}
	require.Len(t, g.names(t), 2)
	g.post(g.delivery("msg_2"), nil)
	content := g.only(t)
	assert.Contains(t, content, "Geminihook-First-Attempt: 2026-01-22T12:00:00Z\r\n")
	assert.Contains(t, content, "Geminihook-Last-Attempt: 2026-01-22T14:00:00Z\r\n")
	assert.NotEqual(t, other, g.names(t))

	g.post(g.delivery("msg_1"), geminihook.Permanent(errors.New("given up")))
	assert.Contains(t, g.only(t), "Geminihook-Result: dropped\r\n")
	g.post(g.delivery("msg_1"), nil)
	assert.Len(t, g.names(t), 1, "a duplicate of a dropped event was not processed")

	g.endpoint.Store = &geminihook.MemoryStore{} // forgets what was dropped
	g.post(g.delivery("msg_1"), nil)
	assert.Empty(t, g.names(t))
	assert.Contains(t, g.logs.String(), "its file was removed")
}

// TestProcessed: with Processed among the Results, tests record deliveries.
func TestProcessed(t *testing.T) {
	g := newRig(t, &record.Recorder{
		Results: []geminihook.Result{geminihook.Processed, geminihook.Failed},
	})
	g.post(g.delivery("msg_1"), errPoison)
	g.move(time.Minute)
	g.post(g.delivery("msg_1"), nil)
	g.post(g.delivery("msg_1"), nil) // a duplicate
	assert.Equal(t, "processed 1", g.kinds(t), "still a file per event")
	assert.Contains(t, g.only(t), "Geminihook-First-Attempt: 2026-01-22T12:00:00Z\r\n")
	assert.Contains(t, g.only(t), "Geminihook-Result: processed\r\n")
	loaded, err := webhooktest.Load(os.DirFS(g.Dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, g.delivery("msg_1").Header, loaded[0].Header)
}

// TestProcess: an event from a queue has no headers.
func TestProcess(t *testing.T) {
	const raw = `{"type":"batch.failed","data":{"id":"batches/1"}}`
	for _, tt := range []struct {
		name string
		id   string
		raw  string
		want string // the header, from Webhook-Id on
	}{
		{"raw", "msg_1", raw, "Webhook-Id: msg_1\r\nContent-Length: 49\r\n\r\n" + raw},
		{"made without Raw", "msg_1", "", "Webhook-Id: msg_1\r\nContent-Length: 0\r\n\r\n"},
		{"hostile id", "a\r\nCookie: x", raw, "Geminihook-Result: failed\r\nContent-Length: 49\r\n\r\n" + raw},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, &record.Recorder{})
			ev := &geminihook.Event{ID: tt.id, Data: &geminihook.BatchExpired{ID: "batches/1"}}
			if tt.raw != "" {
				ev.Raw = []byte(tt.raw)
			}
			run := func(err error) {
				g.endpoint.Process(t.Context(), ev, func(context.Context, *geminihook.Event) error { return err })
			}
			run(errPoison)
			content := g.only(t)
			assert.True(t, strings.HasSuffix(content, tt.want), content)
			assert.Contains(t, content, "Geminihook-Job: batches/1\r\n")
			assert.NotContains(t, content, "Webhook-Timestamp")
			_, err := webhooktest.Load(os.DirFS(g.Dir), "failed-*.http")
			require.NoError(t, err)
			run(nil)
			assert.Empty(t, g.names(t))
		})
	}
}

// TestErrors are logged and nothing else.
func TestErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	full := filepath.Join(t.TempDir(), "full")
	for name, dir := range map[string]string{"a file": file, "below a file": file + "/x", "none": ""} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, &record.Recorder{Dir: full})
			g.Dir = dir
			assert.Equal(t, 500, g.post(g.delivery("msg_1"), errPoison))
			assert.Contains(t, g.logs.String(), "could not be recorded")
			assert.Equal(t, 200, g.post(g.delivery("msg_1"), nil))
			assert.NotContains(t, g.logs.String(), "batches/1")
		})
	}
}

package record_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
			large := strings.Contains(tt.name, "large")
			assert.Equal(t, large, strings.Contains(g.logs.String(), "too large"))
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
		g.recorder.Observe(t.Context(), geminihook.Outcome{})
		assert.Empty(t, g.names(t))
	})
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
	loaded, err := webhooktest.Load(os.DirFS(g.recorder.Dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, g.delivery("msg_1").Header, loaded[0].Header)
}

// TestForbidden: anyone can cause a delivery that Authorize refuses or ignores with a
// dynamic webhook, so it must not push out an event that failed.
func TestForbidden(t *testing.T) {
	for result, err := range map[geminihook.Result]error{
		geminihook.Forbidden: geminihook.ErrForbidden,
		geminihook.Ignored:   geminihook.Permanent(errPoison),
	} {
		t.Run(string(result), func(t *testing.T) {
			results := []geminihook.Result{geminihook.Failed, result}
			g := newRig(t, &record.Recorder{MaxFiles: 1, Results: results})
			g.post(g.delivery("msg_1"), errPoison)
			g.endpoint.Authorize = func(context.Context, *geminihook.Event) error { return err }
			for i := range 3 {
				g.post(g.delivery("msg_"+strconv.Itoa(i)), nil)
			}
			assert.Equal(t, "failed 1, forbidden 1", g.kinds(t))
			recorded := strings.Count(g.logs.String(), "result="+string(result))
			assert.Equal(t, 1, recorded, "the Interval applies")
		})
	}
}

// TestInterval: what strangers send is written at most once per Interval, and an event
// that failed is always written.
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
		Result: geminihook.Rejected, Err: geminihook.ErrSignature,
		Header: forged.Header, Body: forged.Body,
	}
	g.post(g.delivery("msg_2").WrongSecret(), nil)
	require.NoError(t, os.RemoveAll(g.recorder.Dir))
	allocations := testing.AllocsPerRun(100, func() { g.recorder.Observe(t.Context(), o) })
	assert.LessOrEqual(t, allocations, 2.0)
	assert.Empty(t, g.names(t))

	g.move(time.Minute)
	g.recorder.Observe(t.Context(), o)
	assert.Empty(t, g.names(t))
	assert.Contains(t, g.logs.String(), "too large", "the header is bounded, too")
}

// TestWithoutID: deliveries and events without an id get a file each.
func TestWithoutID(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	for range 2 {
		d := webhooktest.New(geminihook.EventBatchFailed, signer)
		d.Header.Del("webhook-id")
		g.post(d, nil)
		g.move(time.Minute)
	}
	assert.Equal(t, "rejected-incomplete 2", g.kinds(t))
	for _, raw := range []string{"{}", "{ }", "{}"} {
		ev := &geminihook.Event{Raw: []byte(raw)}
		g.recorder.Observe(t.Context(), geminihook.Outcome{Result: geminihook.Failed, Event: ev})
	}
	assert.Equal(t, "failed 2, rejected-incomplete 2", g.kinds(t))
}

// blocker is a slog.Handler whose first call blocks, as a disk that hangs does.
type blocker struct {
	slog.Handler
	called           atomic.Bool
	entered, release chan struct{}
}

func (b *blocker) Handle(context.Context, slog.Record) error {
	if !b.called.Swap(true) {
		close(b.entered)
		<-b.release
	}
	return nil
}

// TestHangingDisk: while a file that a stranger has caused is being written, no other
// is begun, so that a disk that hangs does not hold a request every 10 seconds.
func TestHangingDisk(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	b := &blocker{entered: make(chan struct{}), release: make(chan struct{})}
	b.Handler = slog.NewTextHandler(g.logs, nil)
	g.recorder.Logger = slog.New(b)
	forge := func(id string) { g.post(g.delivery(id).WrongSecret(), nil) }
	var all sync.WaitGroup
	all.Go(func() { forge("msg_1") })
	<-b.entered
	g.move(time.Hour)
	forge("msg_2") // returns, although the first has not
	assert.Equal(t, "rejected 1", g.kinds(t))
	close(b.release)
	all.Wait()
	forge("msg_3")
	assert.Equal(t, "rejected 2", g.kinds(t))
}

// TestErrors: an error is logged, and has no other effect.
func TestErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	full := filepath.Join(t.TempDir(), "full")
	for name, dir := range map[string]string{
		"not a directory": file, "mkdir": file + "/x", "Recorder.Dir is empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, &record.Recorder{Dir: full})
			g.recorder.Dir = dir
			assert.Equal(t, 500, g.post(g.delivery("msg_1"), errPoison))
			assert.Contains(t, g.logs.String(), "could not be recorded")
			assert.Contains(t, g.logs.String(), name)
			assert.Equal(t, 200, g.post(g.delivery("msg_1"), nil))
			assert.NotContains(t, g.logs.String(), "data", "no line has the body")
		})
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recordFolder is a folder that a Recorder writes at the times that the test gives.
type recordFolder struct {
	t        *testing.T
	dir      string
	ago      time.Duration // how long ago it is for the recorder
	failure  error         // what the function returns
	refusal  error         // what Authorize returns
	endpoint *geminihook.Endpoint
}

func newRecordFolder(t *testing.T) *recordFolder {
	t.Helper()
	t.Chdir(t.TempDir())
	f := &recordFolder{t: t, dir: "deliveries"}
	now := func() time.Time { return time.Now().Add(-f.ago) }
	f.endpoint = recordingEndpoint(t, f.dir, now)
	recorder := &record.Recorder{
		Dir: f.dir, Now: now, Logger: slog.New(slog.DiscardHandler), Interval: time.Nanosecond,
		Results: []geminihook.Result{
			geminihook.Rejected, geminihook.Failed, geminihook.Dropped, geminihook.Forbidden,
			geminihook.Ignored, geminihook.Unavailable,
		},
	}
	f.endpoint.Observe = recorder.Observe
	f.endpoint.Authorize = func(context.Context, *geminihook.Event) error { return f.refusal }
	return f
}

// deliver delivers an event about the job that happened a minute before.
func (f *recordFolder) deliver(id, job string) *webhooktest.Delivery {
	f.t.Helper()
	at := time.Now().Add(-f.ago)
	body, err := json.Marshal(map[string]any{
		"type":      "batch.succeeded",
		"timestamp": at.Add(-time.Minute), "data": map[string]string{"id": job},
	})
	require.NoError(f.t, err)
	d := webhooktest.NewBody(body)
	d.SetID(id)
	d.Sign(at, webhooktest.Static(webhooktest.TestSecret))
	f.post(d)
	return d
}

func (f *recordFolder) post(d *webhooktest.Delivery) {
	webhooktest.Post(f.endpoint.Handler(f.fn), d)
}

func (f *recordFolder) fn(context.Context, *geminihook.Event) error { return f.failure }

// lines returns what "recorded -json" writes, by id.
func (f *recordFolder) lines(args ...string) map[string]recordedLine {
	f.t.Helper()
	byID := map[string]recordedLine{}
	out := ok(f.t, nil, append([]string{"recorded", "-json"}, args...)...)
	for line := range strings.Lines(out) {
		var l recordedLine
		require.NoError(f.t, json.Unmarshal([]byte(line), &l))
		byID[l.ID] = l
	}
	return byID
}

// TestRecorded: each kind of file, and whether Google sends the event again.
func TestRecorded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		record func(f *recordFolder)
		never  bool
		until  time.Duration // from now, or zero if nothing is known
		text   string
	}{
		{"failed", func(f *recordFolder) {
			f.failure = errors.New("no such order")
			f.deliver("msg_1", "batches/42")
		}, false, 24 * time.Hour, "reason: no such order sent again until about"},
		{"failed for a while", func(f *recordFolder) {
			f.failure, f.ago = errors.New("no such order"), 20*time.Hour
			f.deliver("msg_1", "batches/42")
			f.ago = time.Hour
			f.deliver("msg_1", "batches/42")
		}, false, 4 * time.Hour, "attempts: 2, first"},
		{"failed yesterday", func(f *recordFolder) {
			f.failure, f.ago = errors.New("no such order"), 25*time.Hour
			f.deliver("msg_1", "batches/42")
		}, true, 0, "never sent again: the first attempt was more than 24 hours ago"},
		{"dropped", func(f *recordFolder) {
			f.failure = geminihook.Permanent(errors.New("no such order"))
			f.deliver("msg_1", "batches/42")
		}, true, 0, "marked as done in the store, by default with the key v1:msg_1"},
		{"forbidden", func(f *recordFolder) {
			f.refusal = geminihook.ErrForbidden
			f.deliver("msg_1", "batches/42")
		}, false, 24 * time.Hour, "sent again until about"},
		{"ignored", func(f *recordFolder) {
			f.refusal = geminihook.Permanent(errors.New("not ours"))
			f.deliver("msg_1", "batches/42")
		}, true, 0, "reason: not ours never sent again: the response was 200"},
		{"unavailable", func(f *recordFolder) {
			f.refusal = errors.New("database is down")
			f.deliver("msg_1", "batches/42")
		}, false, 24 * time.Hour, "database is down sent again until about"},
		{"failed", func(f *recordFolder) {
			f.failure = errors.New("no such order")
			ev := &geminihook.Event{
				ID: "msg_1", Type: geminihook.EventBatchSucceeded,
				Data: &geminihook.BatchSucceeded{ID: "batches/42"},
			}
			f.endpoint.Process(t.Context(), ev, f.fn)
		}, false, 0, "given to Endpoint.Process by the program"},
		{"rejected", func(f *recordFolder) {
			f.post(f.deliver("msg_1", "batches/42").WrongSecret())
		}, false, 24 * time.Hour, "not verified, id msg_1 attempts: 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newRecordFolder(t)
			tt.record(f)
			result, _, _ := strings.Cut(tt.name, " ")
			l := f.lines(f.dir)["msg_1"]
			assert.Equal(t, result, l.Result)
			assert.Equal(t, tt.never, l.NeverSentAgain)
			assert.Equal(t, tt.until == 0, l.SentAgainUntil.IsZero())
			if tt.until != 0 {
				assert.WithinDuration(t, time.Now().Add(tt.until), l.SentAgainUntil, time.Hour)
			}
			out := ok(t, nil, "recorded", f.dir)
			assert.Contains(t, flat(out), tt.text)
			assert.Contains(t, out, onlyFile(t, f.dir)+": "+result+"\n")
			if result != "rejected" {
				assert.Equal(t, "batches/42", l.Job)
				assert.Equal(t, "batch.succeeded", l.Type)
				assert.Equal(t, l.Scheme+":msg_1", l.Key)
				assert.Contains(t, out, "\n  batch.succeeded, job batches/42\n")
			}
		})
	}
}

// TestRecordedOrder: the oldest event is first, and what was rejected is last. The
// number of attempts and the times are those of the recorder.
func TestRecordedOrder(t *testing.T) {
	f := newRecordFolder(t)
	f.failure = errors.New("no such order")
	for i, id := range []string{"msg_b", "msg_c", "msg_a"} {
		f.ago = time.Duration(9-i) * time.Hour
		f.deliver(id, "batches/"+id)
	}
	f.ago = 30 * time.Hour
	forged := f.deliver("msg_x", "batches/x").WrongSecret()
	f.post(forged)
	require.NoError(t, os.Remove(f.fileOf("msg_x", "failed-")))
	f.ago = time.Hour
	f.deliver("msg_b", "batches/msg_b")
	f.failure = geminihook.Permanent(errors.New("given up"))
	f.deliver("msg_c", "batches/msg_c")

	var ids []string
	for line := range strings.Lines(ok(t, nil, "recorded", "-json", f.dir)) {
		var l recordedLine
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		ids = append(ids, l.ID)
	}
	assert.Equal(t, []string{"msg_b", "msg_c", "msg_a", "msg_x"}, ids)
	b := f.lines(f.dir)["msg_b"]
	assert.Equal(t, 2, b.Attempts)
	assert.WithinDuration(t, time.Now().Add(-9*time.Hour), b.FirstAttempt, time.Hour/2)
	assert.WithinDuration(t, time.Now().Add(-time.Hour), b.LastAttempt, time.Hour/2)
	assert.InDelta(t, 3660, b.Age, 1800, "since the event of the last attempt happened")
	out := flat(ok(t, nil, "recorded", f.dir))
	counts := "dropped: 1, failed: 2, never sent again: 1, rejected: 1"
	assert.Contains(t, out, counts+" After the fix,")
	assert.Contains(t, out, "First remove the mark of a dropped event")
}

// fileOf returns the path of the file of an event.
func (f *recordFolder) fileOf(id, kind string) string {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(f.dir, kind+"*"))
	require.NoError(f.t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(f.t, err)
		if strings.Contains(string(b), "\r\nWebhook-Id: "+id+"\r\n") {
			return name
		}
	}
	require.Fail(f.t, "no file", "%s* of %s", kind, id)
	return ""
}

// TestRecordedFile: the body is shown if the file is named, whatever is in it.
func TestRecordedFile(t *testing.T) {
	f := newRecordFolder(t)
	f.failure = errors.New("no such order")
	f.deliver("msg_1", "batches/"+hostile)
	name := onlyFile(t, f.dir)
	out := ok(t, nil, "recorded", name)
	assertVisible(t, out)
	assert.Contains(t, out, "\n  {\n    \"data\": {\n      \"id\": \"batches/")
	assert.NotContains(t, ok(t, nil, "recorded", f.dir), `"data"`)
	out = ok(t, nil, "recorded", "-json", name)
	assertVisible(t, out)
	assert.Contains(t, out, `"body":{"data":{"id":"batches/`)
	assert.Equal(t, 1, strings.Count(out, "\n"))

	f = newRecordFolder(t)
	signer := webhooktest.Static(webhooktest.TestSecret)
	f.post(webhooktest.NewBody([]byte("no JSON"+hostile), signer).WrongSecret())
	out = ok(t, nil, "recorded", onlyFile(t, f.dir))
	assertVisible(t, out)
	assert.Contains(t, out, `"no JSON`)
}

// TestRecordedOther: what else may be in a folder, or in its place.
func TestRecordedOther(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	assert.Equal(t, "Nothing is recorded in \".\".\n", ok(t, nil, "recorded"))
	assert.Empty(t, ok(t, nil, "recorded", "-json"))
	status, _, errs := call(t, "", nil, "recorded", "elsewhere")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, flat(errs), "elsewhere does not exist: if it is the Dir of a Recorder, nothing was recorded yet")

	var own bytes.Buffer
	require.NoError(t, webhooktest.New(geminihook.EventBatchFailed).Write(&own))
	for name, content := range map[string]string{
		"delivery.http": own.String(), "damaged.http": "POST", "notes.txt": "x",
	} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}
	require.NoError(t, os.Mkdir("folder.http", 0o700))
	status, out, errs := call(t, "", nil, "recorded")
	assert.Equal(t, exitFailed, status, "a file that cannot be read may be an event")
	assert.Contains(t, errs, "damaged.http: not an HTTP request")
	assert.Contains(t, out, "Nothing is recorded")
	status, _, errs = call(t, "", nil, "recorded", "delivery.http")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, flat(errs), "was not written by package record")
	status, _, errs = call(t, "", nil, "recorded", "damaged.http")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, errs, "damaged.http")

	f := newRecordFolder(t)
	f.failure = errors.New("no such order")
	f.deliver("msg_1", "batches/42")
	require.NoError(t, os.Remove(filepath.Join(dir, "damaged.http")))
	assert.Len(t, f.lines(dir, f.dir), 1, "several folders")
}

package record_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newTimed is a delivery about an event that happened half a minute before noon.
func newTimed(g *rig, id string) *webhooktest.Delivery {
	d := webhooktest.NewBody([]byte(
		`{"type":"batch.failed","timestamp":"2026-01-22T11:59:30Z","data":{"id":"batches/1"}}`))
	d.SetID(id)
	return d.Sign(g.now(), signer)
}

// TestCount: the file has the number of attempts.
func TestCount(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	for n := 1; n <= 12; n++ {
		g.post(g.delivery("msg_1"), errPoison)
		assert.Contains(t, g.only(t), fmt.Sprintf("Geminihook-Attempts: %d\r\n", n))
		g.move(time.Minute)
	}
	g.post(g.delivery("msg_1"), nil)
	g.post(g.delivery("msg_2"), errPoison)
	assert.Contains(t, g.only(t), "Geminihook-Attempts: 1\r\n")
}

// TestCountElsewhere: the store counts the attempts of other instances, too, and
// those of which the file is gone, but MemoryStore forgets them.
func TestCountElsewhere(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	for _, tt := range []struct{ attempt, want int }{{3, 3}, {4, 4}, {1, 5}, {0, 6}} {
		g.recorder.Observe(t.Context(), geminihook.Outcome{
			Result: geminihook.Failed, Err: errPoison,
			Event: &geminihook.Event{ID: "msg_1", Attempt: tt.attempt},
		})
		assert.Contains(t, g.only(t), fmt.Sprintf("Geminihook-Attempts: %d\r\n", tt.want))
	}
}

// TestCountDamaged: a file that cannot be read begins anew.
func TestCountDamaged(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	g.post(g.delivery("msg_1"), errPoison)
	path := filepath.Join(g.recorder.Dir, g.names(t)[0])
	for _, content := range []string{
		"", "x", "POST / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nGeminihook-Attempts: x\r\nGeminihook-First-Attempt: x\r\n\r\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		g.move(time.Hour)
		g.endpoint.Store = &geminihook.MemoryStore{} // counts anew, too
		g.post(g.delivery("msg_1"), errPoison)
		assert.Contains(t, g.only(t), "Geminihook-Attempts: 1\r\n", content)
		first := "Geminihook-First-Attempt: " + g.now().Format(time.RFC3339)
		assert.Contains(t, g.only(t), first, content)
	}
}

// TestProcessedElsewhere: an event that failed in this instance and was processed in
// another is not work that remains.
func TestProcessedElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name  string
		there error // of the function in the other instance
		want  string
	}{
		{"processed", nil, ""},
		{"dropped", geminihook.Permanent(errPoison), ""}, // which the other has recorded
	} {
		t.Run(tt.name, func(t *testing.T) {
			here, there := newRig(t, &record.Recorder{}), newRig(t, &record.Recorder{})
			there.endpoint.Store = &geminihook.MemoryStore{}
			here.endpoint.Store = there.endpoint.Store
			here.post(here.delivery("msg_1"), errPoison)
			here.post(here.delivery("msg_2"), errPoison)
			assert.Equal(t, 200, there.post(there.delivery("msg_1"), tt.there))
			assert.Len(t, here.names(t), 2, "nobody has told this instance")
			assert.Equal(t, 200, here.post(here.delivery("msg_1"), errPoison))
			assert.Contains(t, here.only(t), "Webhook-Id: msg_2")
			assert.Contains(t, here.logs.String(), "its file was removed")
			assert.Equal(t, tt.there != nil, there.kinds(t) == "failed 1")
		})
	}
}

// TestPushedOut: an event that failed is lost with its file, so that is an error. What
// strangers cause, and what was recorded for tests, is not.
func TestPushedOut(t *testing.T) {
	const text = "was removed, because there are more than MaxFiles"
	g := newRig(t, &record.Recorder{MaxFiles: 2, Interval: time.Nanosecond})
	for i := range 4 {
		g.post(newTimed(g, fmt.Sprint("msg_", i)), errPoison)
		g.post(newTimed(g, fmt.Sprint("msg_", i)).WrongSecret(), nil)
		g.move(time.Minute)
	}
	assert.Equal(t, "failed 2, rejected 2", g.kinds(t))
	lines := linesWith(g.logs.String(), text)
	require.Len(t, lines, 2)
	for i, age := range []int{150, 210} {
		assert.Contains(t, lines[i], "level=ERROR")
		assert.Contains(t, lines[i], fmt.Sprintf("result=failed webhook_id=msg_%d ", i))
		about := fmt.Sprintf("type=batch.failed job=batches/1 age_s=%d attempts=1", age)
		assert.Contains(t, lines[i], about)
		assert.Regexp(t, `file=\S+failed-[0-9a-f]{32}\.http`, lines[i])
	}

	g = newRig(t, &record.Recorder{MaxFiles: 1, Results: []geminihook.Result{geminihook.Processed}})
	for i := range 3 {
		g.post(newTimed(g, fmt.Sprint("msg_", i)), nil)
	}
	assert.NotContains(t, g.logs.String(), text)
}

// TestLines: each line about a verified event names it, its job and its age.
func TestLines(t *testing.T) {
	g := newRig(t, &record.Recorder{MaxFiles: 1, MaxBytes: 200})
	post := func(id string, err error) {
		g.post(newTimed(g, id), err)
		g.move(time.Minute)
	}
	post("msg_1", errPoison)
	post("msg_2", errPoison) // pushes the other out
	post("msg_2", nil)
	long := webhooktest.NewBody(append(newTimed(g, "x").Body, strings.Repeat(" ", 200)...))
	long.SetID("msg_3")
	g.post(long.Sign(g.now(), signer), errPoison)
	require.NoError(t, os.RemoveAll(g.recorder.Dir))
	require.NoError(t, os.WriteFile(g.recorder.Dir, nil, 0o600))
	post("msg_4", errPoison)
	post("msg_5", nil)

	lines := strings.Split(strings.TrimSpace(g.logs.String()), "\n")
	assert.Len(t, lines, 7)
	about := regexp.MustCompile(` webhook_id=msg_\d type=batch\.failed job=batches/1 age_s=\d+`)
	for _, line := range lines {
		assert.Regexp(t, about, line)
	}

	g = newRig(t, &record.Recorder{})
	g.post(newTimed(g, "msg_1").WrongSecret(), nil)
	assert.Contains(t, g.logs.String(), "result=rejected webhook_id=msg_1 file=", "nothing else is verified")
	r := newTimed(g, "msg_2").Request("/")
	r.Header.Set("webhook-id", "a b")
	g.move(time.Minute)
	fn := func(context.Context, *geminihook.Event) error { return nil }
	g.endpoint.Handler(fn).ServeHTTP(httptest.NewRecorder(), r)
	assert.Contains(t, g.logs.String(), "result=rejected file=", "a malformed id is not logged")
}

// linesWith returns the lines of a log that contain the text.
func linesWith(log, text string) (found []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

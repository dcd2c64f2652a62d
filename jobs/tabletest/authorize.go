package tabletest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testAuthorize tests that other people's jobs are ignored, unless a job of the program's own is
// just being created that could be the one.
func testAuthorize(t *testing.T, open opener) {
	const minute = time.Minute
	for _, tt := range []struct {
		name   string
		added  time.Duration // how long ago a task was added that has no id; zero for none
		id     string
		age    time.Duration // of the event; negative for an event without a time
		status int
		result geminihook.Result
	}{
		{"known", 0, "abc", minute, 200, geminihook.Processed},
		{"known, in another form", 0, "batches/abc", minute, 200, geminihook.Processed},
		{"known, ended", 0, "batches/ended", minute, 200, geminihook.Processed},
		{"known, old", minute, "abc", time.Hour, 200, geminihook.Processed},
		{"unknown", 0, "def", minute, 200, geminihook.Ignored},
		{"unknown, without a time", 0, "def", -1, 200, geminihook.Ignored},
		{"unknown, in another case", 0, "ABC", minute, 200, geminihook.Ignored},
		{"a task is being created", minute, "def", minute, 503, geminihook.Unavailable},
		{"a task is being created, no time", minute, "def", -1, 503, geminihook.Unavailable},
		{"a task is being created, old event", minute, "def", 6 * minute, 200, geminihook.Ignored},
		{"a task was not created", 6 * minute, "def", minute, 200, geminihook.Ignored},
		{"no id", minute, "", minute, 200, geminihook.Ignored},
		{"no job's id", minute, "a\x00b", minute, 200, geminihook.Ignored},
		{"a long id", 0, strings.Repeat("x", 5000), minute, 200, geminihook.Ignored},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := open.newWorld(t)
			w.start(t, "a", jobs.KindBatch, "batches/abc")
			w.start(t, "b", jobs.KindBatch, "batches/ended")
			_, _, err := w.table.End(t.Context(), w.table.DB,
				event(t, geminihook.EventBatchSucceeded, "ended"))
			require.NoError(t, err)
			if tt.added > 0 {
				require.NoError(t, w.table.Add(t.Context(), w.table.DB, "c", jobs.KindBatch))
				w.setForward(tt.added)
			}
			at := w.now().Add(-tt.age)
			if tt.age < 0 {
				at = time.Time{}
			}
			o := w.deliver(t, tt.id, at)
			assert.Equal(t, tt.status, o.Status)
			assert.Equal(t, tt.result, o.Result)
		})
	}
}

// deliver delivers an event, and returns what became of it.
func (w *World) deliver(t *testing.T, id string, at time.Time) geminihook.Outcome {
	t.Helper()
	secret := webhooktest.RandomSecret()
	verifier, err := geminihook.NewHMAC(secret)
	require.NoError(t, err)
	var outcome geminihook.Outcome
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Authorize: w.table.Authorize, Logger: quiet,
		Observe: func(_ context.Context, o geminihook.Outcome) { outcome = o },
	}
	delivery := webhooktest.NewBody(body(t, geminihook.EventBatchSucceeded, id, at),
		webhooktest.Static(secret))
	fn := func(context.Context, *geminihook.Event) error { return nil }
	endpoint.Handler(fn).ServeHTTP(httptest.NewRecorder(), delivery.Request("/"))
	return outcome
}

// testAuthorizeFails tests that an event is not ignored because the database is down.
func testAuthorizeFails(t *testing.T, open opener) {
	w := open.newWorld(t)
	w.start(t, "a", jobs.KindBatch, "batches/abc")
	w.close()
	for _, id := range []string{"abc", "def"} {
		assert.Equal(t, http.StatusServiceUnavailable, w.deliver(t, id, w.now()).Status)
	}
}

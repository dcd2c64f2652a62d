package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSweepUnreadable: a job whose state cannot be read is reported, and asked
// again by the next sweep.
func TestSweepUnreadable(t *testing.T) {
	for _, tt := range []struct {
		name    string
		job     jobs.Job
		respond func(http.ResponseWriter, *http.Request)
		reason  string
	}{
		{"unknown to the API", jobs.Job{ID: "abc", Kind: jobs.KindBatch}, status(404), "404 Not Found"},
		{"forbidden", jobs.Job{ID: "abc", Kind: jobs.KindInteraction}, status(403), "403 Forbidden"},
		{"server error", jobs.Job{ID: operation, Kind: jobs.KindVideo}, status(500), "500 Internal"},
		{"no JSON", jobs.Job{ID: "abc", Kind: jobs.KindBatch}, page(200), "could not read the response"},
		{"a response that makes the SDK panic", jobs.Job{ID: "abc", Kind: jobs.KindBatch}, raw(`{"metadata":{"output":7}}`), "could not read"},
		{"a state of tomorrow", jobs.Job{ID: "abc", Kind: jobs.KindBatch}, raw(`{"metadata":{"state":"BATCH_STATE_ASLEEP"}}`), `unknown state "BATCH_STATE_ASLEEP"`},
		{"no state", jobs.Job{ID: "abc", Kind: jobs.KindBatch}, raw(`{}`), `unknown state ""`},
		{"a status of tomorrow", jobs.Job{ID: "abc", Kind: jobs.KindInteraction}, raw(`{"id":"abc","status":"asleep"}`), `unknown state "asleep"`},
		{"no kind", jobs.Job{ID: "abc"}, raw(`{}`), "not a kind"},
		{"a video without its model", jobs.Job{ID: "abc", Kind: jobs.KindVideo}, raw(`{}`), "does not name its model"},
		{"no id", jobs.Job{Kind: jobs.KindBatch}, raw(`{}`), "not the id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := true
			api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				if broken {
					tt.respond(w, r)
				}
				return broken
			}}
			api.Set("batches/good", fakeapi.Batch("batches/good", "BATCH_STATE_SUCCEEDED"))
			var log strings.Builder
			c, h := newCatchUp(t, serve(t, api), tt.job, jobs.Job{
				ID: "good", Kind: jobs.KindBatch, Created: time.Now(),
			})
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			summary, err := c.Sweep(t.Context())
			require.NoError(t, err)
			assert.Equal(t, jobs.Summary{
				Waiting: 2, Unreadable: 1, Young: 1, Elapsed: summary.Elapsed,
			}, summary)
			assert.Contains(t, log.String(), strings.ReplaceAll(tt.reason, `"`, `\"`))
			assert.Contains(t, log.String(), fmt.Sprintf("job=%s", tt.job.ID))
			assert.NotContains(t, log.String(), "SECRET")
			assert.Empty(t, h.events)
			again, err := c.Sweep(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, again.Unreadable)
		})
	}
}

// TestSweepResults: what the function and the store say about an end.
func TestSweepResults(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name   string
		handle func(context.Context, *geminihook.Event) error
		want   jobs.Summary
	}{
		{"handled", func(context.Context, *geminihook.Event) error { return nil }, jobs.Summary{Handled: 1}},
		{"failed", func(context.Context, *geminihook.Event) error { return boom }, jobs.Summary{Failed: 1}},
		{"dropped", func(context.Context, *geminihook.Event) error { return geminihook.Permanent(boom) }, jobs.Summary{Dropped: 1}},
		{"panicked", func(context.Context, *geminihook.Event) error { panic(boom) }, jobs.Summary{Failed: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newCatchUp(t, serve(t, newAPI()), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
			c.Handle = tt.handle
			var observed jobs.Summary
			c.Observe = func(s jobs.Summary) { observed = s }
			summary, err := c.Sweep(t.Context())
			require.NoError(t, err)
			tt.want.Waiting, tt.want.Ended, tt.want.Elapsed = 1, 1, summary.Elapsed
			assert.Equal(t, tt.want, summary)
			assert.Equal(t, summary, observed)
			c.Handle = func(context.Context, *geminihook.Event) error { return nil }
			again, err := c.Sweep(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.want.Failed, again.Handled, "a failed end is handled by the next sweep, and no other")
		})
	}
}

// TestFetchInSweep: Fetch in the function makes no request.
func TestFetchInSweep(t *testing.T) {
	api := newAPI()
	client := serve(t, api)
	c, _ := newCatchUp(t, client, jobs.Job{ID: dotted, Kind: jobs.KindInteraction})
	c.Handle = func(ctx context.Context, ev *geminihook.Event) error {
		r, err := jobs.Fetch(ctx, client, ev)
		if assert.NoError(t, err) {
			assert.Equal(t, "forty-two", r.OutputText())
		}
		return err
	}
	_, err := c.Sweep(t.Context())
	require.NoError(t, err)
	requests, _ := api.Requests()
	assert.Equal(t, 1, requests)
}

// TestGrace: a job that is young, or has just ended, is left to the webhook.
func TestGrace(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }
	for _, tt := range []struct {
		name  string
		job   time.Duration // since it was created
		end   time.Duration // since it ended
		young int
		asked int
	}{
		{"just created", time.Minute, 0, 1, 0},
		{"just ended", time.Hour, 4 * time.Minute, 1, 1},
		{"ended long ago", time.Hour, 5 * time.Minute, 0, 1},
		{"ended in the future, by another clock", time.Hour, -time.Minute, 0, 1},
		{"created in the future, by another clock", -time.Minute, 10 * time.Minute, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := &fakeapi.API{}
			api.Set("batches/abc",
				fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED", "endTime", ago(tt.end)))
			c, _ := newCatchUp(t, serve(t, api), jobs.Job{
				ID: "abc", Kind: jobs.KindBatch, Created: now.Add(-tt.job),
			})
			c.Now = func() time.Time { return now }
			summary, err := c.Sweep(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.young, summary.Young)
			assert.Equal(t, 1-tt.young, summary.Handled)
			requests, _ := api.Requests()
			assert.Equal(t, tt.asked, requests)
		})
	}
}

package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// waiting returns a CatchUp.Waiting.
func waiting(list ...jobs.Job) func(context.Context) iter.Seq2[jobs.Job, error] {
	return func(context.Context) iter.Seq2[jobs.Job, error] {
		return func(yield func(jobs.Job, error) bool) {
			for _, job := range list {
				if !yield(job, nil) {
					return
				}
			}
		}
	}
}

// handled collects the events that the program's function got.
type handled struct {
	mu     sync.Mutex
	events []*geminihook.Event
}

func (h *handled) handle(_ context.Context, ev *geminihook.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, ev)
	return nil
}

// newCatchUp returns a CatchUp with an endpoint that receives static webhooks, and
// what its function gets.
func newCatchUp(t testing.TB, client *genai.Client, list ...jobs.Job) (*jobs.CatchUp, *handled) {
	t.Helper()
	verifier, err := geminihook.NewHMAC(secret)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	h := &handled{}
	return &jobs.CatchUp{
		Client: client, Endpoint: &geminihook.Endpoint{Verifier: verifier, Key: geminihook.ByJob, Logger: quiet},
		Waiting: waiting(list...), Handle: h.handle, PerSecond: 1e6, Logger: quiet,
	}, h
}

// TestSweepEnds: what each end of a job becomes. The key is that of a webhook's
// event, so a webhook that comes later is a duplicate.
func TestSweepEnds(t *testing.T) {
	failed := map[string]any{"name": operation, "done": true, "error": map[string]any{"code": 3, "message": "no"}}
	failedInteraction := fakeapi.Interaction("v1_i..", "failed", "")
	failedInteraction["errors"] = []any{map[string]any{"code": "e", "message": "no"}}
	batch := jobs.Job{ID: "abc", Kind: jobs.KindBatch}
	interaction := jobs.Job{ID: "v1_i..", Kind: jobs.KindInteraction}
	video := jobs.Job{ID: operation, Kind: jobs.KindVideo}
	for _, tt := range []struct {
		name     string
		job      jobs.Job
		resource map[string]any
		data     geminihook.Data // of the event; nil if the job has not ended
		typ      geminihook.EventType
	}{
		{"batch pending", batch, fakeapi.Batch("batches/abc", "BATCH_STATE_PENDING"), nil, ""},
		{"batch running", batch, fakeapi.Batch("batches/abc", "BATCH_STATE_RUNNING"), nil, ""},
		{"batch succeeded", batch, fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED"), &geminihook.BatchSucceeded{ID: "batches/abc"}, "batch.succeeded"},
		{
			"batch succeeded with a file", batch,
			fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED", "output", map[string]any{"responsesFile": "files/out"}),
			&geminihook.BatchSucceeded{ID: "batches/abc", OutputFileURI: "files/out"}, "batch.succeeded",
		},
		{"batch failed", batch, fakeapi.Batch("batches/abc", "BATCH_STATE_FAILED"), &geminihook.BatchFailed{ID: "batches/abc"}, "batch.failed"},
		{"batch cancelled", batch, fakeapi.Batch("batches/abc", "BATCH_STATE_CANCELLED"), &geminihook.BatchCancelled{ID: "batches/abc"}, "batch.cancelled"},
		{"batch expired", batch, fakeapi.Batch("batches/abc", "BATCH_STATE_EXPIRED"), &geminihook.BatchExpired{ID: "batches/abc"}, "batch.expired"},
		{"interaction queued", interaction, fakeapi.Interaction("v1_i..", "queued", ""), nil, ""},
		{"interaction in progress", interaction, fakeapi.Interaction("v1_i..", "in_progress", ""), nil, ""},
		{"interaction completed", interaction, fakeapi.Interaction("v1_i..", "completed", "x"), &geminihook.InteractionCompleted{ID: "v1_i.."}, "interaction.completed"},
		{
			"interaction failed", interaction, failedInteraction,
			&geminihook.InteractionFailed{ID: "v1_i..", ErrorCode: "e", ErrorMessage: "no"}, "interaction.failed",
		},
		{"interaction cancelled", interaction, fakeapi.Interaction("v1_i..", "cancelled", ""), &geminihook.InteractionCancelled{ID: "v1_i.."}, "interaction.cancelled"},
		{"interaction incomplete", interaction, fakeapi.Interaction("v1_i..", "incomplete", ""), unknown(`{"id":"v1_i.."}`), "interaction.incomplete"},
		{"interaction budget", interaction, fakeapi.Interaction("v1_i..", "budget_exceeded", ""), unknown(`{"id":"v1_i.."}`), "interaction.budget_exceeded"},
		{"video running", video, fakeapi.Video(operation, ""), nil, ""},
		{"video generated", video, fakeapi.Video(operation, "files/v"), &geminihook.VideoGenerated{ID: operation, OutputFileURI: "files/v"}, "video.generated"},
		{"video failed", video, failed, unknown(`{"id":"models/veo-3.1/operations/op1","error_code":"3","error_message":"no"}`), "video.failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := &fakeapi.API{}
			name := map[jobs.Kind]string{jobs.KindBatch: "batches/abc", jobs.KindInteraction: "interactions/v1_i..", jobs.KindVideo: operation}[tt.job.Kind]
			api.Set(name, tt.resource)
			c, h := newCatchUp(t, serve(t, api), tt.job)
			summary, err := c.Sweep(t.Context())
			require.NoError(t, err)
			if tt.data == nil {
				assert.Equal(t, 1, summary.Running)
				assert.Empty(t, h.events)
				return
			}
			require.Len(t, h.events, 1)
			ev := h.events[0]
			assert.Equal(t, tt.typ, ev.Type)
			assert.Equal(t, tt.data, ev.Data)
			assert.Equal(t, jobs.SchemeAPI, ev.Proof.Scheme)
			assert.Equal(t, 1, summary.Handled)
			assert.Equal(t, 1, summary.Ended)
			again, err := c.Sweep(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, again.Duplicate, "the next sweep")
			if _, isUnknown := ev.Data.(*geminihook.Unknown); !isUnknown {
				w := httptest.NewRecorder()
				delivery := webhooktest.NewBody(ev.Raw, webhooktest.Static(secret))
				c.Endpoint.Handler(c.Handle).ServeHTTP(w, delivery.Request("/"))
				assert.Equal(t, http.StatusOK, w.Code)
			}
			assert.Len(t, h.events, 1, "a late webhook")
		})
	}
}

func unknown(data string) *geminihook.Unknown {
	return &geminihook.Unknown{Data: json.RawMessage(data)}
}

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
			c, h := newCatchUp(t, serve(t, api), tt.job, jobs.Job{ID: "good", Kind: jobs.KindBatch, Created: time.Now()})
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			summary, err := c.Sweep(t.Context())
			require.NoError(t, err)
			assert.Equal(t, jobs.Summary{Waiting: 2, Unreadable: 1, Young: 1, Elapsed: summary.Elapsed}, summary)
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
			api.Set("batches/abc", fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED", "endTime", ago(tt.end)))
			c, _ := newCatchUp(t, serve(t, api), jobs.Job{ID: "abc", Kind: jobs.KindBatch, Created: now.Add(-tt.job)})
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

// TestNotSetUp: a CatchUp that would break its promise does not start.
func TestNotSetUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*jobs.CatchUp)
		text  string
	}{
		{"no client", func(c *jobs.CatchUp) { c.Client = nil }, "not set"},
		{"no endpoint", func(c *jobs.CatchUp) { c.Endpoint = nil }, "not set"},
		{"no jobs", func(c *jobs.CatchUp) { c.Waiting = nil }, "not set"},
		{"no function", func(c *jobs.CatchUp) { c.Handle = nil }, "not set"},
		{"negative grace", func(c *jobs.CatchUp) { c.Grace = -1 }, "negative"},
		{"negative rate", func(c *jobs.CatchUp) { c.PerSecond = -1 }, "negative"},
		{"negative concurrency", func(c *jobs.CatchUp) { c.Concurrency = -1 }, "negative"},
		{"default key", func(c *jobs.CatchUp) { c.Endpoint.Key = nil }, "ByJob"},
		{"key by event", key(func(ev *geminihook.Event) string { return ev.ID }), "ByJob"},
		{"key by scheme and job", key(func(ev *geminihook.Event) string { return ev.Proof.Scheme + geminihook.ByJob(context.Background(), ev) }), "ByJob"},
		{"one key for all ends of a job", key(func(ev *geminihook.Event) string { return ev.JobID() }), "ByJob"},
		{"one key for all", key(func(*geminihook.Event) string { return "batch.succeeded:geminihook-probe" }), "ByJob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI()
			c, _ := newCatchUp(t, serve(t, api), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
			tt.spoil(c)
			_, err := c.Sweep(t.Context())
			require.ErrorContains(t, err, tt.text)
			require.ErrorContains(t, c.Run(t.Context()), tt.text)
			requests, _ := api.Requests()
			assert.Zero(t, requests)
		})
	}
	c, _ := newCatchUp(t, serve(t, newAPI()), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
	key(func(ev *geminihook.Event) string { return geminihook.ByJob(t.Context(), ev) })(c)
	summary, err := c.Sweep(t.Context())
	require.NoError(t, err, "a function that does the same as ByJob")
	assert.Equal(t, 1, summary.Handled)
}

func key(f func(*geminihook.Event) string) func(*jobs.CatchUp) {
	return func(c *jobs.CatchUp) {
		c.Endpoint.Key = func(_ context.Context, ev *geminihook.Event) string { return f(ev) }
	}
}

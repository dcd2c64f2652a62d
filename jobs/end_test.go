package jobs_test

import (
	"net/http"
	"net/http/httptest"
	"path"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
			fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED",
				"output", map[string]any{"responsesFile": "files/out"}),
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
		{"interaction incomplete", interaction, fakeapi.Interaction("v1_i..", "incomplete", ""), &geminihook.InteractionIncomplete{ID: "v1_i.."}, "interaction.incomplete"},
		{"interaction budget", interaction, fakeapi.Interaction("v1_i..", "budget_exceeded", ""), &geminihook.InteractionBudgetExceeded{ID: "v1_i.."}, "interaction.budget_exceeded"},
		{"video running", video, fakeapi.Video(operation, ""), nil, ""},
		{"video generated", video, fakeapi.Video(operation, "files/v"), &geminihook.VideoGenerated{ID: operation, OutputFileURI: "files/v"}, "video.generated"},
		{
			"video failed", video, failed,
			&geminihook.VideoFailed{ID: operation, ErrorCode: "3", ErrorMessage: "no"}, "video.failed",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := &fakeapi.API{}
			name := map[jobs.Kind]string{
				jobs.KindBatch:       "batches/abc",
				jobs.KindInteraction: "interactions/v1_i..",
				jobs.KindVideo:       operation,
			}[tt.job.Kind]
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
			assert.True(t, ev.EndsJob())
			key, err := geminihook.ByJob(t.Context(), ev)
			require.NoError(t, err)
			assert.Equal(t, string(tt.typ)+":"+path.Base(name), key)
			assert.Equal(t, 1, summary.Handled)
			assert.Equal(t, 1, summary.Ended)
			again, err := c.Sweep(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, again.Duplicate, "the next sweep")
			w := httptest.NewRecorder()
			delivery := webhooktest.NewBody(ev.Raw, webhooktest.Static(secret))
			c.Endpoint.Handler(c.Handle).ServeHTTP(w, delivery.Request("/"))
			assert.Equal(t, http.StatusOK, w.Code)
			assert.Len(t, h.events, 1, "a late webhook")
		})
	}
}

package jobs_test

import (
	"fmt"
	"testing"

	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

const (
	dotted    = "v1_ChdTdW1tZXI.." // as interactions have them
	operation = "models/veo-3.1/operations/op1"
)

func newAPI() *fakeapi.API {
	api := &fakeapi.API{}
	api.Set("batches/abc", fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED"))
	api.Set("interactions/"+dotted, fakeapi.Interaction(dotted, "completed", "forty-two"))
	api.Set(operation, fakeapi.Video(operation, "https://example.com/v1beta/files/video1:download?alt=media"))
	return api
}

func TestFetch(t *testing.T) {
	client := serve(t, newAPI())
	for _, tt := range []struct {
		name, typ, id string
		want          string
	}{
		{"batch with its collection", "batch.succeeded", "batches/abc", "batch"},
		{"batch without its collection", "batch.succeeded", "abc", "batch"},
		{"batch that expired", "batch.expired", "abc", "batch"},
		{"interaction that ends in dots", "interaction.completed", dotted, "interaction"},
		{"interaction with its collection", "interaction.requires_action", "interactions/" + dotted, "interaction"},
		{"interaction of a type of tomorrow", "interaction.incomplete", dotted, "interaction"},
		{"video", "video.generated", operation, "video"},
		{"type of tomorrow, id with a collection", "something.new", "batches/abc", "batch"},
		{"type of tomorrow, interaction", "new", "interactions/" + dotted, "interaction"},
		{"type of tomorrow, operation", "new", operation, "video"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := jobs.Fetch(t.Context(), client,
				event(t, fmt.Sprintf(`{"type":%q,"data":{"id":%q}}`, tt.typ, tt.id)))
			require.NoError(t, err)
			switch tt.want {
			case "batch":
				assert.Equal(t, genai.JobStateSucceeded, r.Batch.State)
				assert.Empty(t, r.OutputText())
			case "interaction":
				assert.Equal(t, dotted, *r.Interaction.ID)
				assert.Equal(t, "forty-two", r.OutputText())
			case "video":
				assert.True(t, r.Video.Done)
				assert.Len(t, r.Video.Response.GeneratedVideos, 1)
			}
		})
	}
}

package jobs_test

import (
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFetchRefuses: what another delivery would not cure is Permanent, and no
// request is made with an id that could lead to another method of the API.
func TestFetchRefuses(t *testing.T) {
	api := newAPI()
	client := serve(t, api)
	for _, tt := range []struct{ name, body string }{
		{"no id", `{"type":"batch.succeeded","data":{}}`},
		{"no data", `{"type":"batch.succeeded"}`},
		{"a parent directory", `{"type":"batch.succeeded","data":{"id":"batches/.."}}`},
		{"a query", `{"type":"batch.succeeded","data":{"id":"abc?key=x"}}`},
		{"a method", `{"type":"interaction.completed","data":{"id":"abc:cancel"}}`},
		{"an escape", `{"type":"interaction.completed","data":{"id":"..%2f..%2ffiles"}}`},
		{"an empty segment", `{"type":"video.generated","data":{"id":"models//operations/op"}}`},
		{"a parent directory in an operation", `{"type":"video.generated","data":{"id":"models/../operations/op"}}`},
		{"a space", `{"type":"batch.failed","data":{"id":"a b"}}`},
		{"not about a job", `{"type":"ping","data":{}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := jobs.Fetch(t.Context(), client, event(t, tt.body))
			require.ErrorIs(t, err, geminihook.ErrPermanent)
			assert.Nil(t, r)
		})
	}
	requests, _ := api.Requests()
	assert.Zero(t, requests)
}

// TestFetchVideoWithoutModel: the event itself has what the API cannot be asked
// for.
func TestFetchVideoWithoutModel(t *testing.T) {
	api := newAPI()
	client := serve(t, api)
	for name, body := range map[string]string{
		"uri":  `{"type":"video.generated","data":{"id":"op1","output_file_uri":"files/v","file_name":"n"}}`,
		"name": `{"type":"video.generated","data":{"id":"operations/op1","file_name":"files/v"}}`,
	} {
		r, err := jobs.Fetch(t.Context(), client, event(t, body))
		require.NoError(t, err, name)
		assert.Equal(t, "files/v", r.Video.Response.GeneratedVideos[0].Video.URI, name)
		assert.True(t, r.Video.Done, name)
	}
	_, err := jobs.Fetch(t.Context(), client, event(t, `{"type":"video.generated","data":{"id":"op1"}}`))
	require.ErrorContains(t, err, `does not name its model`)
	require.NotErrorIs(t, err, geminihook.ErrPermanent, "another report may have the whole name")
	requests, _ := api.Requests()
	assert.Zero(t, requests)
}

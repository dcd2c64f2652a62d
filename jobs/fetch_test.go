package jobs_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/geminihook/geminihook"
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
			r, err := jobs.Fetch(t.Context(), client, event(t, fmt.Sprintf(`{"type":%q,"data":{"id":%q}}`, tt.typ, tt.id)))
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

// TestFetchErrors: only "not found" is Permanent; a request is made once, whatever
// the client's own retries; and no text has a body in it.
func TestFetchErrors(t *testing.T) {
	for _, kind := range []struct{ name, body string }{
		{"batch", `{"type":"batch.succeeded","data":{"id":"abc"}}`},
		{"interaction", `{"type":"interaction.completed","data":{"id":"abc"}}`},
		{"video", `{"type":"video.generated","data":{"id":"models/m/operations/abc"}}`},
	} {
		for _, tt := range []struct {
			name      string
			respond   func(w http.ResponseWriter, r *http.Request)
			text      string
			permanent bool
		}{
			{"404", status(404), "404 Not Found: the fake says 404", true},
			{"400", status(400), "400 Bad Request", false},
			{"403", status(403), "403 Forbidden", false},
			{"429", status(429), "429 Too Many Requests", false},
			{"500", status(500), "500 Internal Server Error", false},
			{"503", status(503), "503 Service Unavailable", false},
			{"404 of a proxy", page(404), "404 Not Found", true},
			{"502 of a proxy", page(502), "502 Bad Gateway", false},
			{"not JSON", page(200), "", false},
			{"types that the SDK does not expect", raw(`{"name":7,"metadata":{"state":"BATCH_STATE_SUCCEEDED","output":"SECRET"},"done":"SECRET","id":{"SECRET":1},"status":7}`), "", false},
		} {
			t.Run(kind.name+" "+tt.name, func(t *testing.T) {
				api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
					tt.respond(w, r)
					return true
				}}
				r, err := jobs.Fetch(t.Context(), serve(t, api), event(t, kind.body))
				require.Error(t, err)
				assert.Nil(t, r)
				assert.Contains(t, err.Error(), "abc: "+tt.text)
				assert.NotContains(t, err.Error(), "SECRET")
				assert.NotContains(t, err.Error(), fakeapi.Key)
				assert.Less(t, len(err.Error()), 400)
				permanent := assert.NotErrorIs
				if tt.permanent {
					permanent = assert.ErrorIs
				}
				permanent(t, err, geminihook.ErrPermanent)
				requests, _ := api.Requests()
				assert.Equal(t, 1, requests)
			})
		}
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { fakeapi.Fail(w, r, code) }
}

func page(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, "<html>\n%01000d SECRET", 0)
	}
}

func raw(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

package jobs_test

import (
	"net/http"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

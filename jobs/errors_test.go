package jobs_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// TestFetchErrors: only "not found" of the API itself is Permanent; a request is
// made once, whatever the client's own retries; and no text has a body in it.
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
			{"404 of a proxy", page(404), "404 Not Found", false},
			{"404 of a proxy, in JSON", failure(404, `{"message":"no route","body":"SECRET"}`), "404 Not Found", false},
			{"404 without a status", failure(404, `{"error":{"code":404,"message":"gone"}}`), "404 Not Found", true},
			{"404 with the code as a number", failure(404, `{"error":{"code":404,"message":"gone","status":"NOT_FOUND"}}`), "404 Not Found", true},
			{"502 of a proxy, short", failure(502, "SECRET"), "502 Bad Gateway", false},
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

// failure responds with an error in JSON.
func failure(code int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// TestErrorsHideKey: the API names the key in the message that refuses it, and a
// URL to which a file is redirected is signed. Neither belongs in a log.
func TestErrorsHideKey(t *testing.T) {
	suspended := fmt.Sprintf(`{"error":{"code":403,"message":"Permission denied: Consumer 'api_key:%s' has been suspended.","status":"PERMISSION_DENIED"}}`,
		fakeapi.Key)
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/file?signature=SECRET", http.StatusFound)
	}
	for _, tt := range []struct {
		name    string
		respond func(http.ResponseWriter, *http.Request)
	}{
		{"suspended", failure(http.StatusForbidden, suspended)},
		{"redirected", elsewhere},
	} {
		t.Run(tt.name, func(t *testing.T) {
			respond := func(w http.ResponseWriter, r *http.Request) bool {
				tt.respond(w, r)
				return true
			}
			client := serve(t, &fakeapi.API{Intercept: respond})
			var failed []error
			for _, body := range []string{
				`{"type":"batch.succeeded","data":{"id":"abc"}}`, `{"type":"interaction.completed","data":{"id":"abc"}}`,
				`{"type":"video.generated","data":{"id":"models/m/operations/abc"}}`,
			} {
				_, err := jobs.Fetch(t.Context(), client, event(t, body))
				failed = append(failed, err)
			}
			video := &genai.Video{URI: "files/v"}
			_, err := jobs.DownloadVideo(t.Context(), client, video, io.Discard)
			failed = append(failed, err)
			for _, err := range jobs.Batches(client)(t.Context()) {
				failed = append(failed, err)
			}
			require.Len(t, failed, 5)
			for _, err := range failed {
				require.Error(t, err)
				assert.NotContains(t, err.Error(), fakeapi.Key)
				assert.NotContains(t, err.Error(), "SECRET")
			}
		})
	}
}

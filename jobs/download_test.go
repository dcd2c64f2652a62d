package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// TestDownloadVideo: the file is requested from the client's address, whatever host
// the URI names.
func TestDownloadVideo(t *testing.T) {
	api := &fakeapi.API{}
	api.SetFile("files/video-1", "moving pictures")
	client := serve(t, api)
	for _, tt := range []struct {
		name  string
		video *genai.Video
		want  string
		text  string // of the error
	}{
		{"uri", &genai.Video{URI: "https://elsewhere.example/v1beta/files/video-1:download?alt=media"}, "moving pictures", ""},
		{"uri without the method", &genai.Video{URI: "https://elsewhere.example/v1beta/files/video-1"}, "moving pictures", ""},
		{"name", &genai.Video{URI: "files/video-1"}, "moving pictures", ""},
		{"bytes", &genai.Video{VideoBytes: []byte("here")}, "here", ""},
		{"nil", nil, "", "no video"},
		{"neither", &genai.Video{}, "", "not a file"},
		{"Cloud Storage", &genai.Video{URI: "gs://bucket/files/video-1"}, "", "not a file"},
		{"another method", &genai.Video{URI: "files/video-1:delete"}, "", "not a file"},
		{"a parent directory", &genai.Video{URI: "files/../batches"}, "", "not a file"},
		{"gone", &genai.Video{URI: "files/gone"}, "", "404 Not Found: the fake says 404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			n, err := jobs.DownloadVideo(t.Context(), client, tt.video, &out)
			if tt.text != "" {
				require.ErrorContains(t, err, tt.text)
				assert.Equal(t, tt.video != nil, errors.Is(err, geminihook.ErrPermanent))
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, tt.want, out.String())
			assert.Equal(t, int64(len(tt.want)), n)
		})
	}
}

// TestDownloadErrors: an error status is an error, and a body that ends early, too.
func TestDownloadErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		respond func(http.ResponseWriter, *http.Request)
		text    string
	}{
		"429": {status(429), "429 Too Many Requests"},
		"503": {page(503), "503 Service Unavailable"},
		"half": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = w.Write([]byte("half"))
		}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				tt.respond(w, r)
				return true
			}}
			video := &genai.Video{URI: "files/v"}
			_, err := jobs.DownloadVideo(t.Context(), serve(t, api), video, io.Discard)
			require.ErrorContains(t, err, tt.text)
			require.NotErrorIs(t, err, geminihook.ErrPermanent)
			assert.NotContains(t, err.Error(), "SECRET")
		})
	}
}

// TestDownloadKeepsKey: a redirect to another host does not get the API key.
func TestDownloadKeepsKey(t *testing.T) {
	got := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("x-goog-api-key")
		_, _ = io.WriteString(w, "there")
	}))
	t.Cleanup(other.Close)
	api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL, http.StatusFound)
		return true
	}}
	var out strings.Builder
	_, err := jobs.DownloadVideo(t.Context(), serve(t, api), &genai.Video{URI: "files/v"}, &out)
	require.NoError(t, err)
	assert.Equal(t, "there", out.String())
	assert.Empty(t, <-got)
}

// TestDownloadStalls: a server that stops to send is given up, and one that is slow
// is not.
func TestDownloadStalls(t *testing.T) {
	for name, pause := range map[string]time.Duration{
		"slow":    requestTimeout - time.Second,
		"stalled": requestTimeout + time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var server sync.WaitGroup
				client := newClientWith(t, func(r *http.Request) *http.Response {
					reader, writer := io.Pipe()
					server.Go(func() {
						for range 3 {
							select {
							case <-time.After(pause):
								_, _ = writer.Write([]byte("x"))
							case <-r.Context().Done():
								_ = writer.CloseWithError(r.Context().Err())
								return
							}
						}
						_ = writer.Close()
					})
					return responseWith(r, http.StatusOK, reader)
				})
				video := &genai.Video{URI: "files/v"}
				n, err := jobs.DownloadVideo(t.Context(), client, video, io.Discard)
				if name == "stalled" {
					require.ErrorContains(t, err, "no byte arrived in time")
				} else {
					require.NoError(t, err)
					assert.Equal(t, int64(3), n)
				}
				server.Wait()
			})
		})
	}
}

// TestDownloadStallsInError: the time in which the text of an error does not arrive is
// bounded, too.
func TestDownloadStallsInError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClientWith(t, func(r *http.Request) *http.Response {
			reader, writer := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = writer.CloseWithError(r.Context().Err()) })
			return responseWith(r, http.StatusServiceUnavailable, reader)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := jobs.DownloadVideo(ctx, client, &genai.Video{URI: "files/v"}, io.Discard)
		require.ErrorContains(t, err, "503")
		require.NoError(t, ctx.Err())
	})
}

// roundTripper is a transport without a network, for synctest.
type roundTripper func(*http.Request) *http.Response

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestDownloadErrorStalls: an error whose body never ends is given up, too.
func TestDownloadErrorStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClientWith(t, func(r *http.Request) *http.Response {
			reader, writer := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = writer.CloseWithError(r.Context().Err()) })
			return responseWith(r, http.StatusServiceUnavailable, reader)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := jobs.DownloadVideo(ctx, client, &genai.Video{URI: "files/v"}, io.Discard)
		require.ErrorContains(t, err, "503 Service Unavailable")
		assert.Equal(t, requestTimeout, time.Since(start))
	})
}

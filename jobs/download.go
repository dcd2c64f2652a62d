package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"google.golang.org/genai"
)

// DownloadVideo writes a generated video to w and returns how many bytes it wrote.
// The video is an element of Response.GeneratedVideos of a video operation; for an
// event, use &genai.Video{URI: data.OutputFileURI}. The file is requested by its
// name from the client's own address, never from another host that the URI names. If
// that address redirects to another one, the request goes there without the API key.
//
// The video is not held in memory. DownloadVideo fails if no byte arrives for
// 30 seconds; ctx bounds the whole download. The error is made by
// [geminihook.Permanent] if the file does not exist: Google deletes it after two
// days. After an error, w may have received a part of the video.
func DownloadVideo(
	ctx context.Context, client *genai.Client, video *genai.Video, w io.Writer,
) (int64, error) {
	if video == nil {
		return 0, errors.New("jobs: no video")
	}
	if len(video.VideoBytes) > 0 {
		return io.Copy(w, bytes.NewReader(video.VideoBytes))
	}
	body, err := open(ctx, client, video.URI)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.Copy(w, body)
}

var fileName = regexp.MustCompile(`(?:^|/)(files/[A-Za-z0-9_-]+)(?::download)?$`)

// open requests a file by its name or URI. The SDK's Files.Download holds all of it
// in memory, and does not look at the status of the response.
func open(ctx context.Context, client *genai.Client, uri string) (io.ReadCloser, error) {
	path, _, _ := strings.Cut(uri, "?")
	name := fileName.FindStringSubmatch(path)
	if name == nil || strings.HasPrefix(uri, "gs:") {
		err := fmt.Errorf("jobs: %q is not a file of the Gemini API", firstWords(path))
		return nil, geminihook.Permanent(err)
	}
	api, err := newAPIClient(client)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := time.AfterFunc(requestTimeout, func() { cancel(errStalled) })
	f := &file{what: name[1], cancel: cancel, stalled: stalled}
	response, err := api.request(ctx, name[1])
	f.stalled.Stop()
	if err != nil {
		if context.Cause(ctx) == errStalled {
			err = errStalled
		}
		cancel(nil)
		return nil, requestFailed(api.config.APIKey, name[1], err)
	}
	f.ctx, f.body = ctx, response.Body
	if response.StatusCode != http.StatusOK {
		defer f.Close()
		err := requestFailed(api.config.APIKey, name[1], apiError(response.StatusCode, f))
		if notFound(err) {
			err = geminihook.Permanent(err)
		}
		return nil, err
	}
	return f, nil
}

// request makes the request as the SDK does.
func (c *apiClient) request(ctx context.Context, name string) (*http.Response, error) {
	address := c.base.JoinPath(c.config.HTTPOptions.APIVersion, name+":download")
	address.RawQuery = "alt=media"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	for key, values := range c.config.HTTPOptions.Headers {
		req.Header[http.CanonicalHeaderKey(key)] = values
	}
	req.Header.Set("X-Goog-Api-Key", c.config.APIKey)
	return c.http.Do(req)
}

var errStalled = errors.New("no byte arrived in time")

// file is a body that must not stall. The time in which nobody reads does not
// count.
type file struct {
	what    string
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stalled *time.Timer
	body    io.ReadCloser
}

func (f *file) Read(p []byte) (int, error) {
	f.stalled.Reset(requestTimeout)
	n, err := f.body.Read(p)
	f.stalled.Stop()
	if err != nil && err != io.EOF {
		if context.Cause(f.ctx) == errStalled {
			err = errStalled
		}
		err = fmt.Errorf("jobs: %s: %w", f.what, err)
	}
	return n, err
}

func (f *file) Close() error {
	f.cancel(nil)
	f.stalled.Stop()
	return f.body.Close()
}

package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"google.golang.org/genai"
)

// DownloadVideo writes a generated video to w and returns how many bytes it wrote.
// The video is an element of Response.GeneratedVideos of a video operation; for an
// event, use &genai.Video{URI: data.OutputFileURI}. The file is requested by its
// name from the client's own address, never from another host that the URI names.
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
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := time.AfterFunc(requestTimeout, func() { cancel(errStalled) })
	f := &file{what: name[1], cancel: cancel, stalled: stalled}
	response, err := request(ctx, client, name[1])
	f.stalled.Stop()
	if err != nil {
		if context.Cause(ctx) == errStalled {
			err = errStalled
		}
		cancel(nil)
		return nil, requestFailed(client, name[1], err)
	}
	f.ctx, f.body = ctx, response.Body
	if response.StatusCode != http.StatusOK {
		defer f.Close()
		err := requestFailed(client, name[1], apiError(response.StatusCode, f))
		if notFound(err) {
			err = geminihook.Permanent(err)
		}
		return nil, err
	}
	return f, nil
}

// request makes the request as the SDK does.
func request(ctx context.Context, client *genai.Client, name string) (*http.Response, error) {
	config := client.ClientConfig()
	if config.Backend != genai.BackendGeminiAPI {
		return nil, errors.New("files can be downloaded from the Gemini API only")
	}
	base, err := url.Parse(config.HTTPOptions.BaseURL)
	if err != nil {
		return nil, err
	}
	address := base.JoinPath(config.HTTPOptions.APIVersion, name+":download")
	address.RawQuery = "alt=media"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	for key, values := range config.HTTPOptions.Headers {
		req.Header[http.CanonicalHeaderKey(key)] = values
	}
	req.Header.Set(keyHeader, config.APIKey)
	httpClient := *config.HTTPClient
	httpClient.CheckRedirect = keepKey(httpClient.CheckRedirect)
	return httpClient.Do(req)
}

const keyHeader = "X-Goog-Api-Key"

// checkRedirect is the type of [http.Client.CheckRedirect].
type checkRedirect = func(req *http.Request, via []*http.Request) error

// keepKey sends the API key to no other host than Google's: net/http sends a
// header that it does not know to every host that it is redirected to.
func keepKey(next checkRedirect) checkRedirect {
	return func(req *http.Request, via []*http.Request) error {
		first := via[0].URL
		google := req.URL.Scheme == "https" && strings.HasSuffix(req.URL.Hostname(), ".googleapis.com")
		if !google && (req.URL.Scheme != first.Scheme || req.URL.Host != first.Host) {
			req.Header.Del(keyHeader)
		}
		if next != nil {
			return next(req, via)
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
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

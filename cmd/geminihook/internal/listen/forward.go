package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/direct"
)

const (
	forwardTimeout = 30 * time.Second // for the local program to respond
	maxResponse    = 64 << 10         // bytes of its response that are read
	shownResponse  = 2 << 10          // bytes that the page shows
)

// forwarder sends deliveries to the local program.
type forwarder struct {
	target *url.URL
	client *http.Client
}

// newForwarder returns nil if there is no target.
func newForwarder(target *url.URL) *forwarder {
	if target == nil {
		return nil
	}
	// No proxy: the program is local. No compression that the sender did not ask for.
	return &forwarder{target: target, client: direct.NewClient(&http.Transport{
		DisableCompression: true, MaxResponseHeaderBytes: maxResponse,
	})}
}

// send forwards the raw bytes with the original headers.
func (f *forwarder) send(ctx context.Context, header http.Header, body []byte) result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.target.String(),
		bytes.NewReader(body))
	if err != nil {
		return result{status: http.StatusBadGateway, note: "The delivery could not be forwarded."}
	}
	req.Header = endToEnd(header)
	resp, err := f.client.Do(req)
	if err != nil {
		status, note := explainFailure(err)
		return result{status: status, note: note, elapsed: time.Since(start)}
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 { // such as 101, or 042, with which net/http cannot respond
		note := fmt.Sprintf("The program responded with the status %03d, which does not end a request.",
			resp.StatusCode)
		return result{status: http.StatusBadGateway, note: note, elapsed: time.Since(start)}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxResponse)) // its status is what counts
	res := result{
		status: resp.StatusCode, response: string(text[:min(len(text), shownResponse)]),
		headers: shownHeaders(resp.Header), retryAfter: resp.Header.Get("Retry-After"),
		elapsed: time.Since(start),
	}
	switch code := resp.StatusCode; {
	case code >= 300 && code <= 399:
		res.note = "The program responded with a redirect, which is not followed: Google takes it for a failure."
	case code == http.StatusNotFound || code == http.StatusMethodNotAllowed:
		res.note = fmt.Sprintf("The program responded with %d: is the path of -forward right?",
			code)
	}
	return res
}

// shownHeaders returns the first headers of a response, shortened: it is kept for the page.
func shownHeaders(header http.Header) [][2]string {
	const most, longest = 32, 256
	lines := pairs(header)
	lines = lines[:min(len(lines), most)]
	for i := range lines {
		if value := lines[i][1]; len(value) > longest {
			lines[i][1] = strings.ToValidUTF8(strings.Clone(value[:longest]), "") + "..."
		}
	}
	return lines
}

func explainFailure(err error) (status int, note string) {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // without the URL, which the page shows anyway
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return http.StatusGatewayTimeout, "The program did not respond within " +
			forwardTimeout.String() + "."
	}
	return http.StatusBadGateway, "The program could not be reached: " + err.Error() + "."
}

// endToEnd returns the headers that belong to the delivery and not to the
// connection on which it arrived (RFC 9110, section 7.6.1).
func endToEnd(header http.Header) http.Header {
	h := header.Clone()
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Host", "Expect",
	} {
		h.Del(name)
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // or the client adds its name
	}
	return h
}

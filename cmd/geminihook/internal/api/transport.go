package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const maxResponse = 4 << 20 // bytes; a page of webhooks has some kilobytes

// recorder bounds the responses and compares the clocks.
type recorder struct {
	mu    sync.Mutex
	ahead time.Duration
	dated bool
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 && resp.StatusCode <= 399 {
		// The SDK sends the key in a header that net/http would pass on to
		// another host.
		return nil, errors.Join(fmt.Errorf("the API responded with a redirect (%d), which is not followed",
			resp.StatusCode), resp.Body.Close())
	}
	if ahead, ok := Skew(resp, sent, time.Now()); ok {
		r.mu.Lock()
		r.ahead, r.dated = ahead, true
		r.mu.Unlock()
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxResponse}
	return resp, nil
}

func (r *recorder) skew() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ahead, r.dated
}

// Skew returns how far this machine's clock is ahead of the server's. The Date of
// the response is somewhere between sent and received, and its fraction of a
// second is cut off, so a smaller difference than that counts as none.
func Skew(resp *http.Response, sent, received time.Time) (ahead time.Duration, ok bool) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	switch {
	case sent.After(date.Add(time.Second)):
		return sent.Sub(date.Add(time.Second)), true
	case received.Before(date):
		return received.Sub(date), true
	}
	return 0, true
}

// bounded fails instead of returning more than left bytes.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the response is too long")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

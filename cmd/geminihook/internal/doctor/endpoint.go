package doctor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

// EventType is the type of the events that [Endpoint] delivers. No program has a
// use for it.
const EventType = "geminihook.doctor"

// Endpoint is an acceptance test of a deployed endpoint. It delivers genuine and
// forged events to it and compares the responses with those of this library.
type Endpoint struct {
	URL     string
	Secrets []string      // valid secrets; the first one signs
	Timeout time.Duration // for one request; zero means 10 seconds

	mu     sync.Mutex
	leaked string // the name of the first check whose response revealed something
}

// Check makes all checks, and calls report after each of them.
func (e *Endpoint) Check(ctx context.Context, report func(Result)) {
	if len(e.Secrets) == 0 {
		report(warning("endpoint", "not checked, because that needs the endpoint's secret", "Configure the secret."))
		return
	}
	genuine, reached, accepted := e.genuine(ctx)
	report(genuine)
	if !reached || ctx.Err() != nil {
		return
	}
	if accepted {
		e.accepted(ctx, report)
	} else {
		report(warning("duplicate", "not checked, because no delivery is accepted", "First fix what is above."))
	}
	for _, r := range refusals {
		if ctx.Err() != nil {
			return
		}
		report(e.refuses(ctx, r))
	}
	report(e.oversized(ctx))
	report(e.get(ctx))
	report(e.silent())
}

// response is what the endpoint responded with, or why it did not.
type response struct {
	status  int
	header  http.Header
	elapsed time.Duration
	err     error
}

func (r response) acknowledged() bool { return r.status >= 200 && r.status <= 299 }

// String describes the response in a few words.
func (r response) String() string {
	switch {
	case r.err != nil:
		return "no response: " + r.err.Error()
	case r.header.Get("Location") != "":
		return fmt.Sprintf("%d, a redirect to %s", r.status, r.header.Get("Location"))
	}
	return fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
}

// send posts the delivery for the named check.
func (e *Endpoint) send(ctx context.Context, check string, d *webhooktest.Delivery) response {
	req, err := d.ClientRequest(e.URL)
	if err != nil {
		return response{err: err}
	}
	return e.do(ctx, check, req, d)
}

// do sends the request. Redirects are not followed: their target would get a
// delivery with a valid signature.
func (e *Endpoint) do(
	ctx context.Context, check string, req *http.Request, d *webhooktest.Delivery,
) response {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, 10*time.Second))
	defer cancel()
	req.Header.Set("User-Agent", "geminihook-doctor")
	start := time.Now()
	resp, err := straight.Do(req.WithContext(ctx))
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("not in time")
		}
		return response{err: err}
	}
	defer resp.Body.Close()
	const limit = 64 << 10
	body, _ := io.ReadAll(io.LimitReader(resp.Body, limit)) // the status alone is the response
	var head bytes.Buffer
	_ = resp.Header.Write(&head) // a buffer never fails
	if e.reveals(append(head.Bytes(), body...), d) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.leaked = cmp.Or(e.leaked, check)
	}
	return response{status: resp.StatusCode, header: resp.Header, elapsed: time.Since(start)}
}

// delivery returns a fresh genuine delivery of an event that no handler knows.
func (e *Endpoint) delivery() *webhooktest.Delivery {
	return webhooktest.New(EventType, e.signer())
}

func (e *Endpoint) signer() webhooktest.Signer { return webhooktest.Static(e.Secrets[0]) }

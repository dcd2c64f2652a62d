package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// response is what the endpoint responded with, or why it did not.
type response struct {
	status  int
	header  http.Header
	text    string // the beginning of its body
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
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	start := now()
	resp, err := client.Do(req.WithContext(ctx))
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
	return response{
		status: resp.StatusCode, header: resp.Header, text: string(body),
		elapsed: now().Sub(start),
	}
}

// delivery returns a fresh genuine delivery of an event that no handler knows.
func (e *Endpoint) delivery() *webhooktest.Delivery {
	return webhooktest.New(EventType, e.signer())
}

func (e *Endpoint) signer() webhooktest.Signer { return webhooktest.Static(e.Secrets[0]) }

// reveals reports whether the response has a secret or a signature of the
// delivery in it that the request did not have.
func (e *Endpoint) reveals(response []byte, d *webhooktest.Delivery) bool {
	for _, s := range e.Secrets {
		text := strings.TrimPrefix(s, "whsec_")
		if bytes.Contains(response, []byte(text)) ||
			bytes.Contains(response, []byte(strings.TrimRight(text, "="))) {
			return true
		}
		right := rightMAC(s, d)
		if right == nil {
			continue
		}
		for _, form := range []string{
			base64.RawStdEncoding.EncodeToString(right),
			base64.RawURLEncoding.EncodeToString(right),
			hex.EncodeToString(right),
		} {
			found := bytes.Contains(bytes.ToLower(response), bytes.ToLower([]byte(form)))
			if found && !strings.Contains(d.Header.Get("webhook-signature"), form) {
				return true
			}
		}
	}
	return false
}

// rightMAC returns the bytes of the v1 signature that the delivery should have, or
// nil if it has no timestamp.
func rightMAC(secret string, d *webhooktest.Delivery) []byte {
	at, err := strconv.ParseInt(d.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return nil
	}
	entry := webhooktest.Static(secret).Sign(d.ID(), time.Unix(at, 0), d.Body)
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(entry, "v1,")) // always base64
	return raw
}

// name returns the name of the secret, as Google lists it.
func name(secret string) string {
	s, _ := geminihook.ParseSecret(secret) // a bad one has no name
	return s.Name()
}

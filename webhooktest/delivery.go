package webhooktest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// Delivery is one webhook request: the headers that matter to a receiver, and
// the body. Tests may change both as they need.
type Delivery struct {
	Header http.Header
	Body   []byte
}

// New returns a delivery of an event of type t with the example body that
// [Body] returns and a fresh id. The signers sign it with the current time.
func New(t geminihook.EventType, signers ...Signer) *Delivery {
	return NewBody(Body(t), signers...)
}

// NewBody is like [New] with the given body.
func NewBody(body []byte, signers ...Signer) *Delivery {
	d := &Delivery{Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
	d.SetID(NewID())
	return d.Sign(time.Now(), signers...)
}

// NewID returns a fresh webhook-id in the form that Gemini uses: "msg_"
// followed by a random UUID.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("msg_%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ID returns the webhook-id header.
func (d *Delivery) ID() string { return d.Header.Get("webhook-id") }

// SetID sets the webhook-id header. The id is part of the signed bytes, so call
// [Delivery.Sign] afterwards.
func (d *Delivery) SetID(id string) { d.Header.Set("webhook-id", id) }

// Sign sets the webhook-timestamp header to the given time and
// webhook-signature to one entry per signer, and returns d. A sender does this
// before each attempt.
func (d *Delivery) Sign(at time.Time, signers ...Signer) *Delivery {
	entries := make([]string, len(signers))
	for i, s := range signers {
		entries[i] = s.Sign(d.ID(), at, d.Body)
	}
	d.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	d.Header.Set("webhook-signature", strings.Join(entries, " "))
	return d
}

// Clone returns a deep copy of the delivery.
func (d *Delivery) Clone() *Delivery {
	return &Delivery{Header: d.Header.Clone(), Body: bytes.Clone(d.Body)}
}

// Tampered returns a copy with one byte of the body changed and the original
// signature.
func (d *Delivery) Tampered() *Delivery {
	c := d.Clone()
	if len(c.Body) == 0 {
		c.Body = []byte{' '}
		return c
	}
	c.Body[len(c.Body)/2] ^= 1
	return c
}

// Stale returns a copy signed with a timestamp one hour in the past, outside
// the default tolerance.
func (d *Delivery) Stale(signers ...Signer) *Delivery {
	return d.Clone().Sign(time.Now().Add(-time.Hour), signers...)
}

// Future returns a copy signed with a timestamp one hour in the future.
func (d *Delivery) Future(signers ...Signer) *Delivery {
	return d.Clone().Sign(time.Now().Add(time.Hour), signers...)
}

// WrongSecret returns a copy signed with a fresh secret that no receiver knows.
func (d *Delivery) WrongSecret() *Delivery {
	return d.Clone().Sign(time.Now(), Static(NewSecret()))
}

// Rotated returns a copy signed by two signers, as during the rotation of a
// secret: webhook-signature has an entry from each.
func (d *Delivery) Rotated(old, fresh Signer) *Delivery {
	return d.Clone().Sign(time.Now(), old, fresh)
}

// Oversized returns a signed copy whose body is longer than n bytes. The body
// is padded with white space, so that it is still valid JSON.
func (d *Delivery) Oversized(n int, signers ...Signer) *Delivery {
	c := d.Clone()
	c.Body = append(c.Body, bytes.Repeat([]byte{' '}, max(1, n+1-len(c.Body)))...)
	return c.Sign(time.Now(), signers...)
}

// Request returns the delivery as an incoming server request, suitable for
// passing to an [http.Handler]. The target is as in [httptest.NewRequest].
func (d *Delivery) Request(target string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(d.Body))
	r.Header = d.Header.Clone()
	return r
}

// ClientRequest returns the delivery as an outgoing request to url, to be sent
// with an [http.Client]. It returns an error if url cannot be parsed.
func (d *Delivery) ClientRequest(url string) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(d.Body))
	if err != nil {
		return nil, err
	}
	r.Header = d.Header.Clone()
	return r, nil
}

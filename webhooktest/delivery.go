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

// Delivery is one HTTP request of the sender: what of its header matters, and
// the body. Change either to make whatever a test needs.
type Delivery struct {
	Header http.Header
	Body   []byte
}

// New returns a delivery of the event type with a body like those on Google's
// page and an id of its own, signed now by the signers. A type that the page
// does not list gets data with an id.
func New(t geminihook.EventType, signers ...Signer) *Delivery {
	return NewBody(Body(t), signers...)
}

// NewBody is New with a body.
func NewBody(body []byte, signers ...Signer) *Delivery {
	d := &Delivery{Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
	d.SetID(NewID())
	return d.Sign(time.Now(), signers...)
}

// NewID returns a fresh webhook-id in the form that Gemini's have: "msg_" and a
// UUID.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("msg_%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ID returns webhook-id.
func (d *Delivery) ID() string { return d.Header.Get("webhook-id") }

// SetID sets webhook-id. Sign afterwards.
func (d *Delivery) SetID(id string) { d.Header.Set("webhook-id", id) }

// Sign sets webhook-timestamp and webhook-signature, one entry a signer, and
// returns d. It is what the sender does before each attempt.
func (d *Delivery) Sign(at time.Time, signers ...Signer) *Delivery {
	entries := make([]string, len(signers))
	for i, s := range signers {
		entries[i] = s.Sign(d.ID(), at, d.Body)
	}
	d.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	d.Header.Set("webhook-signature", strings.Join(entries, " "))
	return d
}

// Clone returns a deep copy: the same delivery once more.
func (d *Delivery) Clone() *Delivery {
	return &Delivery{Header: d.Header.Clone(), Body: bytes.Clone(d.Body)}
}

// Tampered returns a copy with one byte of the body changed and the signature
// kept.
func (d *Delivery) Tampered() *Delivery {
	c := d.Clone()
	if len(c.Body) == 0 {
		c.Body = []byte{' '}
		return c
	}
	c.Body[len(c.Body)/2] ^= 1
	return c
}

// Stale returns a copy signed an hour ago, which no tolerance allows.
func (d *Delivery) Stale(signers ...Signer) *Delivery {
	return d.Clone().Sign(time.Now().Add(-time.Hour), signers...)
}

// Future returns a copy signed an hour from now.
func (d *Delivery) Future(signers ...Signer) *Delivery {
	return d.Clone().Sign(time.Now().Add(time.Hour), signers...)
}

// WrongSecret returns a copy signed now with a secret that nobody has.
func (d *Delivery) WrongSecret() *Delivery {
	return d.Clone().Sign(time.Now(), Static(NewSecret()))
}

// Rotated returns a copy signed now by two signers, as while a secret is being
// rotated: the header has an entry of each.
func (d *Delivery) Rotated(old, fresh Signer) *Delivery {
	return d.Clone().Sign(time.Now(), old, fresh)
}

// Oversized returns a copy that is still valid JSON, signed now, and longer
// than n bytes: white space follows the body.
func (d *Delivery) Oversized(n int, signers ...Signer) *Delivery {
	c := d.Clone()
	c.Body = append(c.Body, bytes.Repeat([]byte{' '}, max(1, n+1-len(c.Body)))...)
	return c.Sign(time.Now(), signers...)
}

// Request returns the delivery as a request that a server received, for a
// handler's ServeHTTP, like httptest.NewRequest.
func (d *Delivery) Request(target string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(d.Body))
	r.Header = d.Header.Clone()
	return r
}

// ClientRequest returns the delivery as a request for an http.Client to send.
func (d *Delivery) ClientRequest(url string) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(d.Body))
	if err != nil {
		return nil, err
	}
	r.Header = d.Header.Clone()
	return r, nil
}

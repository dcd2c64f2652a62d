package webhooktest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// Delivery is one webhook request: the headers that matter to a receiver, and
// the body. Tests may change both as they need. It remembers the signers that
// signed it last, so that its variants can be signed by them, too.
type Delivery struct {
	Header http.Header
	Body   []byte

	signers []Signer
	faulty  bool // on purpose: a Sender must not sign it again
}

// New returns a delivery of an event of type t that happened now to a job with a
// fresh id, with a fresh webhook-id. Its other data are those of [Body]. The
// signers sign it with the current time; without any, it is not signed.
func New(t geminihook.EventType, signers ...Signer) *Delivery {
	data := example(t, fresh())
	return NewBody(encode(t, time.Now(), data, nil), signers...)
}

// fresh returns the end of an id that no other job has: 60 random bits.
func fresh() string { return strings.ToLower(rand.Text()[:12]) }

// NewBody is like [New] with the given body. To give only the data, use [NewData].
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
// [Delivery.Sign] afterward.
func (d *Delivery) SetID(id string) { d.Header.Set("webhook-id", id) }

// Sign sets the webhook-timestamp header to the given time and
// webhook-signature to one entry per signer, and returns d. Without signers, it
// uses those that signed the delivery last, if any. A sender does this before
// each attempt.
func (d *Delivery) Sign(at time.Time, signers ...Signer) *Delivery {
	if len(signers) > 0 {
		d.signers = slices.Clone(signers)
	}
	entries := make([]string, len(d.signers))
	for i, s := range d.signers {
		entries[i] = s.Sign(d.ID(), at, d.Body)
	}
	d.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	d.Header.Set("webhook-signature", strings.Join(entries, " "))
	d.faulty = false
	return d
}

// Clone returns a deep copy of the delivery.
func (d *Delivery) Clone() *Delivery {
	return &Delivery{
		Header:  d.Header.Clone(),
		Body:    bytes.Clone(d.Body),
		signers: slices.Clone(d.signers),
		faulty:  d.faulty,
	}
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

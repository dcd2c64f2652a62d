package geminihook

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// A Verifier proves that a delivery was signed with a key that it trusts. The
// body is the raw one, as it arrived. Verify must neither change nor keep the
// header and the body, and must be safe for concurrent use.
//
// The signed bytes are "<webhook-id>.<webhook-timestamp>.<body>" (Standard
// Webhooks 1.0.0, "Signature scheme"). An error that refuses the delivery wraps
// [ErrHeader], [ErrTimestamp] or [ErrSignature]. Any other error means that the
// verifier itself failed, for example because a database of secrets is down:
// [Endpoint] then responds with 503 and Google sends the delivery again. Error
// texts are for the log, never for the sender.
//
// A Verifier that chooses the secret by tenant needs an [Endpoint.Key] that
// includes the tenant. Otherwise one tenant can sign a delivery with the webhook-id
// of another tenant's event, and the genuine delivery is taken for a duplicate.
type Verifier interface {
	Verify(ctx context.Context, header http.Header, body []byte) (Proof, error)
}

// Proof tells how a delivery was verified.
type Proof struct {
	Scheme  string // SchemeHMAC ("v1") or SchemeEd25519 ("v1a")
	KeyName string // a printable name of the key that matched; not secret
}

// HMAC verifies "v1" signatures, which static webhooks have. Without Secrets, it
// fails with [ErrUnavailable]. Do not change it while it is in use.
type HMAC struct {
	Secrets   []Secret         // any may match: list the new and the old one during a rotation
	Tolerance time.Duration    // zero means 5 minutes
	Now       func() time.Time // nil means time.Now
}

// NewHMAC makes an HMAC from secrets that [ParseSecrets] reads: each argument is a
// secret or a list of secrets, separated by commas or white space, the newest
// first. It fails if there is no argument, if one is empty, or if a secret is
// refused, so that a missing environment variable stops the program when it
// starts. It logs a warning with [slog.Default] if a secret is a published one,
// such as that of package webhooktest: anyone could sign with it.
func NewHMAC(secrets ...string) (*HMAC, error) {
	parsed, err := parseSecrets(secrets)
	if err != nil {
		return nil, err
	}
	warnOfPublished(slog.Default(), parsed)
	return &HMAC{Secrets: parsed}, nil
}

// Verify implements [Verifier]. The KeyName of its Proof is the secret's name. It does
// not copy the body, and allocates nothing if a secret matches.
func (h *HMAC) Verify(_ context.Context, header http.Header, body []byte) (Proof, error) {
	if h == nil {
		h = &HMAC{}
	}
	var d delivery
	if err := d.parseWithin(h.Tolerance, h.Now, header); err != nil {
		return Proof{}, err
	}
	configured := false
	for _, secret := range h.Secrets {
		if secret.inner == nil {
			continue
		}
		configured = true
		if d.found.hmac > 0 && secret.inner.matches(&d, body) {
			return Proof{Scheme: SchemeHMAC, KeyName: secret.Name()}, nil
		}
	}
	if !configured {
		return Proof{}, errNoSecret
	}
	if d.found.hmac == 0 {
		return Proof{}, &schemeError{scheme: SchemeHMAC, found: d.found}
	}
	return Proof{}, &secretsError{secrets: h.Secrets}
}

// matches computes the MAC once and compares it with every "v1" entry in
// constant time. It compares them in base64, in which a MAC has only one form.
func (s *secret) matches(d *delivery, body []byte) bool {
	m := s.macs.Get().(*mac)
	m.sign(d, body)
	matched := 0
	for _, entry := range d.signatures() {
		if entry.scheme == SchemeHMAC {
			matched |= subtle.ConstantTimeCompare([]byte(entry.value), m.encoded[:])
		}
	}
	s.macs.Put(m)
	return matched == 1
}

// Ed25519 verifies "v1a" signatures with given public keys. Use [KeySet] for
// Gemini's dynamic webhooks, whose keys are published at a URL. Without Keys that can
// be used, it fails with [ErrUnavailable]. Do not change it while it is in use.
type Ed25519 struct {
	Keys      []ed25519.PublicKey // any may match; those that ParsePublicKey refuses never do
	Tolerance time.Duration       // zero means 5 minutes
	Now       func() time.Time    // nil means time.Now
}

// Verify implements [Verifier]. The KeyName of its Proof is the RFC 7638 thumbprint
// of the public key.
func (e *Ed25519) Verify(_ context.Context, header http.Header, body []byte) (Proof, error) {
	if e == nil {
		e = &Ed25519{}
	}
	var d delivery
	if err := d.parseWithin(e.Tolerance, e.Now, header); err != nil {
		return Proof{}, err
	}
	message := d.ed25519Message(body)
	configured := false
	for _, key := range e.Keys {
		if checkPublicKey(key) != nil {
			continue
		}
		configured = true
		if message.signedBy(key) {
			return Proof{Scheme: SchemeEd25519, KeyName: thumbprint(key)}, nil
		}
	}
	if !configured {
		return Proof{}, errNoPublicKey
	}
	return Proof{}, d.ed25519Mismatch()
}

// ed25519Message has the signed bytes of a "v1a" delivery in one piece, as
// ed25519.Verify needs them, and the signatures to try. Without a signature, message
// is nil, so that the body is not copied for nothing.
type ed25519Message struct {
	message    []byte
	signatures [][]byte
}

// ed25519Message returns the delivery's signed bytes and well-formed signatures.
func (d *delivery) ed25519Message(body []byte) *ed25519Message {
	m := &ed25519Message{}
	for _, s := range d.signatures() {
		if s.scheme != SchemeEd25519 {
			continue
		}
		signature, err := base64.StdEncoding.Strict().DecodeString(s.value)
		if err == nil && len(signature) == ed25519.SignatureSize {
			m.signatures = append(m.signatures, signature)
		}
	}
	if len(m.signatures) > 0 {
		size := len(d.id) + len(".") + len(d.timestamp) + len(".") + len(body)
		m.message = append(d.appendPrefix(make([]byte, 0, size)), body...)
	}
	return m
}

// signedBy reports whether the key made one of the signatures.
func (m *ed25519Message) signedBy(key ed25519.PublicKey) bool {
	for _, signature := range m.signatures {
		if ed25519.Verify(key, m.message, signature) {
			return true
		}
	}
	return false
}

// ed25519Mismatch is the error if no key matches a "v1a" entry, or if there is none.
func (d *delivery) ed25519Mismatch() error {
	if d.found.ed25519 == 0 {
		return &schemeError{scheme: SchemeEd25519, found: d.found}
	}
	return errPublicKeys
}

// AnyOf returns a Verifier that accepts what any of the verifiers accepts, so
// that one endpoint receives static and dynamic webhooks. It asks them in order and
// returns the Proof of the first that accepts. If none does, its error wraps theirs;
// if one of them failed, it also wraps [ErrUnavailable]. A nil verifier counts as
// failed, and so does an empty list.
func AnyOf(verifiers ...Verifier) Verifier {
	return anyOf(slices.Clone(verifiers))
}

type anyOf []Verifier

func (a anyOf) Verify(ctx context.Context, header http.Header, body []byte) (Proof, error) {
	if len(a) == 0 {
		return noVerifier{}.Verify(ctx, header, body)
	}
	var errs []error
	for _, v := range a {
		proof, err := verify(ctx, v, header, body)
		if err == nil {
			return proof, nil
		}
		errs = append(errs, err)
	}
	return Proof{}, &anyOfError{errs: errs}
}

// noVerifier takes the place of a verifier that is missing.
type noVerifier struct{}

func (noVerifier) Verify(_ context.Context, header http.Header, _ []byte) (Proof, error) {
	var d delivery
	if err := d.parse(header); err != nil {
		return Proof{}, err
	}
	return Proof{}, errNoVerifier
}

// verify calls v. Its error refuses the delivery or wraps ErrUnavailable. It never
// wraps ErrPermanent, which would mean that the response is 200.
func verify(ctx context.Context, v Verifier, header http.Header, body []byte) (Proof, error) {
	if v == nil {
		v = noVerifier{}
	}
	proof, err := v.Verify(ctx, header, body)
	switch {
	case err == nil:
		return proof, nil
	case errors.Is(err, ErrPermanent):
		return Proof{}, withReason(ErrUnavailable, "the verifier failed: "+err.Error())
	case isRefusal(err) || errors.Is(err, ErrUnavailable):
		return Proof{}, err
	}
	return Proof{}, fmt.Errorf("%w: the verifier failed: %w", ErrUnavailable, err)
}

// isRefusal reports whether the error of a verifier refuses the delivery.
func isRefusal(err error) bool {
	return errors.Is(err, ErrHeader) || errors.Is(err, ErrTimestamp) || errors.Is(err, ErrSignature)
}

package geminihook

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The signature schemes of Standard Webhooks 1.0.0, as Proof.Scheme names them.
const (
	SchemeHMAC    = "v1"  // HMAC-SHA256: Gemini's static webhooks
	SchemeEd25519 = "v1a" // Ed25519: Gemini's dynamic webhooks
)

// DefaultTolerance is how far webhook-timestamp may be from now, either way.
const DefaultTolerance = 5 * time.Minute

// A Verifier proves that a delivery was signed with a key that it trusts. The
// body is the raw one, as it arrived. Verify neither changes nor keeps header
// and body, and it is safe for concurrent use.
//
// The signed bytes are "<webhook-id>.<webhook-timestamp>.<body>" (Standard
// Webhooks 1.0.0, "Signature scheme"). Errors wrap ErrHeader, ErrTimestamp,
// ErrSignature or ErrKeysUnavailable; their text is for logs, never for the
// sender.
type Verifier interface {
	Verify(ctx context.Context, header http.Header, body []byte) (Proof, error)
}

// Proof says what a verified delivery was verified with.
type Proof struct {
	Scheme string // SchemeHMAC ("v1") or SchemeEd25519 ("v1a")
	Key    string // a printable, non-secret name of the key that matched
}

// HMAC verifies "v1" signatures, those of static webhooks. An HMAC without
// Secrets rejects everything. Do not change it while it is in use.
type HMAC struct {
	Secrets   []Secret         // any may match: list the old and the new one while rotating
	Tolerance time.Duration    // zero means DefaultTolerance
	Now       func() time.Time // nil means time.Now
}

// NewHMAC makes an HMAC of secrets that ParseSecret reads. It fails if there
// are none and if one is refused, so that a missing environment variable stops
// the program when it starts.
func NewHMAC(secrets ...string) (*HMAC, error) {
	if len(secrets) == 0 {
		return nil, errors.New("geminihook: no secret given: NewHMAC needs at least one")
	}
	h := &HMAC{Secrets: make([]Secret, len(secrets))}
	for i, s := range secrets {
		var err error
		if h.Secrets[i], err = ParseSecret(s); err != nil {
			return nil, fmt.Errorf("secret %d of %d: %w", i+1, len(secrets), err)
		}
	}
	return h, nil
}

// Verify implements Verifier. The Key of its Proof is the secret's Name. It
// allocates nothing and does not copy the body.
func (h *HMAC) Verify(_ context.Context, header http.Header, body []byte) (Proof, error) {
	if h == nil {
		h = &HMAC{}
	}
	var d delivery
	if err := d.parse(header); err != nil {
		return Proof{}, err
	}
	if err := d.checkTime(h.Now, h.Tolerance); err != nil {
		return Proof{}, err
	}
	if d.has(SchemeHMAC) {
		for _, s := range h.Secrets {
			if s.s != nil && s.s.matches(&d, body) {
				return Proof{SchemeHMAC, s.s.name}, nil
			}
		}
	}
	return Proof{}, &mismatchError{scheme: SchemeHMAC, found: d.found(), secrets: h.Secrets, keys: len(h.Secrets)}
}

// matches computes the MAC once and compares it with every v1 entry. It
// compares the encoded form: base64 has one spelling of a MAC, others are not
// accepted.
func (s *secret) matches(d *delivery, body []byte) bool {
	m := s.borrow()
	m.sign(d, body)
	matched := 0
	for _, entry := range d.signatures[:d.entries] {
		text, ok := strings.CutPrefix(entry, SchemeHMAC+",")
		if ok && len(text) == len(m.encoded) {
			var given [len(m.encoded)]byte
			copy(given[:], text)
			matched |= subtle.ConstantTimeCompare(given[:], m.encoded[:])
		}
	}
	s.giveBack(m)
	return matched == 1
}

const publicKeyPrefix = "whpk_"

// ParsePublicKey reads an Ed25519 public key in the form of Standard Webhooks,
// "whpk_" and base64, or base64 alone.
func ParsePublicKey(s string) (ed25519.PublicKey, error) {
	text, _ := cutPrefixFold(strings.TrimSpace(s), publicKeyPrefix)
	key, ok := decodeBase64(text)
	switch {
	case hasPrefixFold(text, secretPrefix), hasPrefixFold(text, "whsk_"):
		return nil, errors.New(`geminihook: a secret was given where a public key ("whpk_") is needed`)
	case !ok:
		return nil, errors.New("geminihook: public key is not base64")
	case len(key) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("geminihook: public key has %d bytes, an Ed25519 key has %d", len(key), ed25519.PublicKeySize)
	case !usableKey(key):
		return nil, errors.New("geminihook: public key is all zeros")
	}
	return key, nil
}

// usableKey refuses what ed25519.Verify panics on, and the key that was never
// set: under it a signature can be made without a private key.
func usableKey(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && string(key) != string(make([]byte, ed25519.PublicKeySize))
}

// Ed25519 verifies "v1a" signatures with given public keys. For Gemini's
// dynamic webhooks, whose keys are at a URL, use KeySet. An Ed25519 without
// Keys rejects everything. Do not change it while it is in use.
type Ed25519 struct {
	Keys      []ed25519.PublicKey
	Tolerance time.Duration    // zero means DefaultTolerance
	Now       func() time.Time // nil means time.Now
}

// Verify implements Verifier. The Key of its Proof is the key's RFC 7638
// thumbprint.
func (e *Ed25519) Verify(_ context.Context, header http.Header, body []byte) (Proof, error) {
	if e == nil {
		e = &Ed25519{}
	}
	var d delivery
	if err := d.parse(header); err != nil {
		return Proof{}, err
	}
	if err := d.checkTime(e.Now, e.Tolerance); err != nil {
		return Proof{}, err
	}
	if d.has(SchemeEd25519) && len(e.Keys) > 0 {
		m := d.signed(body)
		for _, key := range e.Keys {
			if usableKey(key) && m.matches(key) {
				return Proof{SchemeEd25519, thumbprint(key)}, nil
			}
		}
	}
	return Proof{}, &mismatchError{scheme: SchemeEd25519, found: d.found(), keys: len(e.Keys)}
}

// signed is what v1a signs, in one piece as ed25519.Verify wants it, and the
// signatures of it.
type signed struct {
	message    []byte
	signatures [][ed25519.SignatureSize]byte
}

func (d *delivery) signed(body []byte) signed {
	m := signed{message: make([]byte, 0, len(d.id)+len(d.timestamp)+2+len(body))}
	m.message = append(d.appendPrefix(m.message), body...)
	for _, entry := range d.signatures[:d.entries] {
		text, ok := strings.CutPrefix(entry, SchemeEd25519+",")
		if !ok || len(text) != base64.StdEncoding.EncodedLen(ed25519.SignatureSize) {
			continue
		}
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err == nil && len(b) == ed25519.SignatureSize {
			m.signatures = append(m.signatures, [ed25519.SignatureSize]byte(b))
		}
	}
	return m
}

func (m *signed) matches(key ed25519.PublicKey) bool {
	for i := range m.signatures {
		if ed25519.Verify(key, m.message, m.signatures[i][:]) {
			return true
		}
	}
	return false
}

// thumbprint is RFC 7638's, of the key as a JWK of RFC 8037.
func thumbprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// AnyOf verifies with the first of the verifiers that accepts, so that one
// endpoint takes static and dynamic webhooks. Without verifiers it rejects
// everything. Its errors wrap those of all verifiers.
func AnyOf(verifiers ...Verifier) Verifier {
	return anyOf(append([]Verifier(nil), verifiers...))
}

type anyOf []Verifier

func (a anyOf) Verify(ctx context.Context, header http.Header, body []byte) (Proof, error) {
	var errs []error
	for _, v := range a {
		if v == nil {
			continue
		}
		proof, err := v.Verify(ctx, header, body)
		if err == nil {
			return proof, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return Proof{}, errNoVerifier
	}
	return Proof{}, anyOfError(errs)
}

var errNoVerifier = refuse(ErrSignature, "no verifier is configured: set Endpoint.Verifier")

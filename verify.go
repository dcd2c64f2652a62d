package geminihook

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
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

// HMAC verifies "v1" signatures, which static webhooks have. An HMAC without
// Secrets rejects everything. Do not change it while it is in use.
type HMAC struct {
	Secrets   []Secret         // any may match: list the new and the old one during a rotation
	Tolerance time.Duration    // zero means 5 minutes
	Now       func() time.Time // nil means time.Now
}

// NewHMAC makes an HMAC from secrets that [ParseSecret] reads. It fails if there
// are none or if one is refused, so that a missing environment variable stops
// the program when it starts. It logs a warning with [slog.Default] if a secret
// is published or repeats a single byte: anyone could sign with it.
func NewHMAC(secrets ...string) (*HMAC, error) {
	parsed, err := parseSecrets(secrets)
	if err != nil {
		return nil, err
	}
	for _, s := range parsed {
		if s.s.guessable {
			slog.Warn("gemini webhook: anyone can sign with this secret: it is published or repeats a single byte", "secret", s)
		}
	}
	return &HMAC{Secrets: parsed}, nil
}

// Verify implements [Verifier]. The KeyName of its Proof is the secret's name. It does
// not copy the body, and allocates nothing if a secret matches.
func (h *HMAC) Verify(_ context.Context, header http.Header, body []byte) (Proof, error) {
	if h == nil {
		h = &HMAC{}
	}
	var d delivery
	if err := d.check(header, h.Now, h.Tolerance); err != nil {
		return Proof{}, err
	}
	for _, s := range h.Secrets {
		if s.s != nil && d.found.hmac > 0 && s.s.matches(&d, body) {
			return Proof{Scheme: SchemeHMAC, KeyName: s.s.name}, nil
		}
	}
	return Proof{}, &mismatchError{scheme: SchemeHMAC, found: d.found, meant: d.found.hmac > 0, secrets: h.Secrets, keys: len(h.Secrets)}
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
// Gemini's dynamic webhooks, whose keys are published at a URL. An Ed25519
// without Keys rejects everything. Do not change it while it is in use.
type Ed25519 struct {
	Keys      []ed25519.PublicKey
	Tolerance time.Duration    // zero means 5 minutes
	Now       func() time.Time // nil means time.Now
}

// ParsePublicKey reads an Ed25519 public key in the form of Standard Webhooks,
// "whpk_" followed by base64, or base64 alone. It refuses keys of small order,
// under which anyone can sign.
func ParsePublicKey(s string) (ed25519.PublicKey, error) {
	text := trimPrefix(strings.TrimSpace(s), publicKeyPrefix)
	key, ok := decodeBase64(text)
	switch {
	case trimPrefix(text, secretPrefix) != text, trimPrefix(text, privateKeyPrefix) != text:
		return nil, errors.New(`geminihook: a secret was given where a public key ("whpk_") is needed`)
	case !ok:
		return nil, errors.New("geminihook: public key is not base64")
	}
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("geminihook: public key %w", err)
	}
	return key, nil
}

// smallOrder has the y coordinates of the points of small order, in every
// encoding and without the sign bit. Anyone can sign under such a key (RFC 8032,
// section 8, and "Taming the Many EdDSAs", table 1).
var smallOrder = []string{
	strings.Repeat("\x00", 32),
	"\x01" + strings.Repeat("\x00", 31),
	"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
	"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
	"\xec" + strings.Repeat("\xff", 30) + "\x7f",
	"\xed" + strings.Repeat("\xff", 30) + "\x7f",
	"\xee" + strings.Repeat("\xff", 30) + "\x7f",
}

// checkKey tells why a public key cannot be used. Its text continues a sentence
// about the key.
func checkKey(key []byte) error {
	if len(key) != ed25519.PublicKeySize { // ed25519.Verify would panic
		return fmt.Errorf("has %d bytes, but an Ed25519 key has %d", len(key), ed25519.PublicKeySize)
	}
	y := [ed25519.PublicKeySize]byte(key)
	y[31] &= 0x7f
	if slices.Contains(smallOrder, string(y[:])) {
		return errors.New("is all zeros or another point of small order, under which anyone can sign")
	}
	return nil
}

// Verify implements [Verifier]. The KeyName of its Proof is the RFC 7638 thumbprint
// of the public key.
func (e *Ed25519) Verify(_ context.Context, header http.Header, body []byte) (Proof, error) {
	e = cmp.Or(e, &Ed25519{})
	var d delivery
	if err := d.check(header, e.Now, e.Tolerance); err != nil {
		return Proof{}, err
	}
	m := d.signed(body)
	for _, key := range e.Keys {
		if checkKey(key) == nil && m.matches(key) {
			return Proof{Scheme: SchemeEd25519, KeyName: thumbprint(key)}, nil
		}
	}
	return Proof{}, &mismatchError{scheme: SchemeEd25519, found: d.found, meant: d.found.ed25519 > 0, keys: len(e.Keys)}
}

// signed is the message of a "v1a" signature in one piece, as ed25519.Verify
// needs it, with the signatures to try.
type signed struct {
	message    []byte
	signatures [][]byte
}

func (d *delivery) signed(body []byte) signed {
	var m signed
	for _, s := range d.signatures() {
		b, err := base64.StdEncoding.Strict().DecodeString(s.value)
		if s.scheme == SchemeEd25519 && err == nil && len(b) == ed25519.SignatureSize {
			m.signatures = append(m.signatures, b)
		}
	}
	if len(m.signatures) > 0 { // do not copy the body for nothing
		m.message = append(d.appendPrefix(make([]byte, 0, len(d.id)+len(d.timestamp)+2+len(body))), body...)
	}
	return m
}

func (m *signed) matches(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(m.signatures, func(s []byte) bool { return ed25519.Verify(key, m.message, s) })
}

// thumbprint returns the RFC 7638 thumbprint of the key's JWK (RFC 8037).
func thumbprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// AnyOf returns a Verifier that accepts what any of the verifiers accepts, so
// that one endpoint receives static and dynamic webhooks. It asks them in order.
// Without verifiers it rejects everything. Its errors wrap those of all
// verifiers; if a verifier itself failed, the response is 503.
func AnyOf(verifiers ...Verifier) Verifier {
	return anyOf(slices.Clone(verifiers))
}

type anyOf []Verifier

func (a anyOf) Verify(ctx context.Context, header http.Header, body []byte) (Proof, error) {
	var errs []error
	for _, v := range a {
		proof, err := verify(ctx, v, header, body)
		if err == nil {
			return proof, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return Proof{}, errNoVerifier
	}
	return Proof{}, &anyOfError{errs: errs}
}

// verify calls v. If the error does not refuse the delivery, or is Permanent,
// which would mean 200, it makes the error wrap ErrUnavailable.
func verify(ctx context.Context, v Verifier, header http.Header, body []byte) (Proof, error) {
	if v == nil {
		return Proof{}, errNoVerifier
	}
	proof, err := v.Verify(ctx, header, body)
	if err == nil {
		return proof, nil
	}
	for _, kind := range []error{ErrHeader, ErrTimestamp, ErrSignature, ErrUnavailable} {
		if errors.Is(err, kind) && !errors.Is(err, ErrPermanent) {
			return Proof{}, err
		}
	}
	return Proof{}, fmt.Errorf("%w: the verifier failed: %w", ErrUnavailable, err)
}

var errNoVerifier = refuse(ErrSignature, "no verifier is configured: set Endpoint.Verifier, or pass verifiers to AnyOf")

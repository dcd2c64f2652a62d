package geminihook

import (
	"slices"
	"strings"
)

// found says which sorts of entries webhook-signature has.
type found struct{ hmac, ed25519, jwt, other bool }

func (d *delivery) found() (f found) {
	for _, entry := range d.signatures[:d.entries] {
		switch scheme, _, ok := strings.Cut(entry, ","); {
		case ok && scheme == SchemeHMAC:
			f.hmac = true
		case ok && scheme == SchemeEd25519:
			f.ed25519 = true
		case !ok && strings.HasPrefix(entry, "eyJ") && strings.Count(entry, ".") == 2:
			f.jwt = true
		default:
			f.other = true
		}
	}
	return f
}

func (d *delivery) has(scheme string) bool {
	for _, entry := range d.signatures[:d.entries] {
		if len(entry) > len(scheme) && entry[:len(scheme)] == scheme && entry[len(scheme)] == ',' {
			return true
		}
	}
	return false
}

// mismatchError is an ErrSignature. It makes its text when asked for, because
// a forged delivery should cost as little as can be.
type mismatchError struct {
	scheme  string // what the verifier is for
	found   found
	secrets []Secret
	keys    int
	refresh error // why the key set could not be fetched again
}

func (e *mismatchError) Unwrap() error { return ErrSignature }

func (e *mismatchError) Error() string { return ErrSignature.Error() + ": " + e.reason() }

func (e *mismatchError) reason() string {
	static := e.scheme == SchemeHMAC
	switch has := e.found; {
	case e.keys == 0 && static:
		return "no secret is configured: set HMAC.Secrets"
	case e.keys == 0:
		return "no v1a key is configured"
	case static && has.hmac:
		return "no v1 entry matches the secrets " + names(e.secrets) + ": the secret is of another webhook or was rotated, " +
			"or the body was changed before it was verified (a proxy, or JSON that was decoded and encoded again)"
	case !static && has.ed25519 && e.refresh != nil:
		return "no v1a entry matches the cached public keys, and they could not be fetched again: " + e.refresh.Error()
	case !static && has.ed25519:
		return "no v1a entry matches the public keys: the delivery is forged, or the body was changed before it was " +
			"verified (a proxy, or JSON that was decoded and encoded again)"
	case has.jwt:
		return "webhook-signature is a JWT, which is not accepted: Google's page shows one for dynamic webhooks, " +
			"but signs them v1a in the Standard Webhooks format"
	case static && has.ed25519:
		return "no v1 entry, but a v1a one: this is a dynamic webhook, verify it with KeySet"
	case !static && has.hmac:
		return "no v1a entry, but a v1 one: this is a static webhook, verify it with HMAC"
	}
	return "no " + e.scheme + " entry in webhook-signature, whose entries are \"<version>,<base64>\""
}

func names(secrets []Secret) string {
	names := make([]string, len(secrets))
	for i, s := range secrets {
		names[i] = s.Name()
	}
	return strings.Join(names, ", ")
}

// anyOfError holds the errors of all verifiers.
type anyOfError []error

func (e anyOfError) Unwrap() []error { return e }

// Error says each text once, and leaves out verifiers that were not meant:
// those for v1 where only v1a was there, and the other way around.
func (e anyOfError) Error() string {
	var meant, rest []string
	for _, err := range e {
		list := &meant
		if m, ok := err.(*mismatchError); ok && !m.meant() {
			list = &rest
		}
		if text := err.Error(); !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	if len(meant) == 0 {
		meant = rest
	}
	return strings.Join(meant, "; ")
}

func (e *mismatchError) meant() bool {
	if e.scheme == SchemeHMAC {
		return e.found.hmac
	}
	return e.found.ed25519
}

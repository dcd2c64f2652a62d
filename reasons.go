package geminihook

import (
	"fmt"
	"slices"
	"strings"
)

// mismatchError is an ErrSignature. It builds its text only when asked, because
// a forged delivery should cost as little as possible.
type mismatchError struct {
	scheme  string // that the verifier accepts
	found   found
	meant   bool // the delivery has an entry of the scheme
	secrets []Secret
	keys    int   // how many the verifier has; only zero matters
	refresh error // why newer keys were not fetched
}

func (e *mismatchError) Unwrap() error { return ErrSignature }

func (e *mismatchError) Error() string { return ErrSignature.Error() + ": " + e.reason() }

func (e *mismatchError) reason() string {
	switch {
	case e.keys == 0 && e.scheme == SchemeHMAC:
		return "no secret is configured: set HMAC.Secrets"
	case e.keys == 0:
		return "no v1a key is configured: use a non-nil KeySet, or set Ed25519.Keys"
	case e.meant && e.scheme == SchemeHMAC:
		return "no v1 entry matches the secrets " + strings.Trim(fmt.Sprint(e.secrets), "[]") + ": the secret belongs to another webhook or was rotated, " +
			"or the body was changed before it was verified (by a proxy, or because JSON was decoded and encoded again): geminihook verify tells which"
	case e.meant && e.refresh != nil:
		return "no v1a entry matches the cached public keys, and they could not be fetched again: " + e.refresh.Error()
	case e.meant:
		return "no v1a entry matches the public keys: the delivery is forged, or the body was changed before it was " +
			"verified (by a proxy, or because JSON was decoded and encoded again): geminihook verify tells which"
	case e.found.jwt > 0:
		return "webhook-signature is a JWT, which is not accepted: Google's page shows one for dynamic webhooks, " +
			"but Gemini signs them with v1a in the Standard Webhooks format"
	case e.found.ed25519 > 0:
		return "no v1 entry, but a v1a entry: this is a dynamic webhook: verify it with a KeySet"
	case e.found.hmac > 0:
		return "no v1a entry, but a v1 entry: this is a static webhook: verify it with an HMAC"
	}
	return "webhook-signature has no " + e.scheme + ` entry of the form "` + e.scheme + `,<base64>"`
}

// anyOfError holds the errors of all verifiers of an AnyOf.
type anyOfError struct{ errs []error }

func (e *anyOfError) Unwrap() []error { return e.errs }

// Error returns each text once. It leaves out verifiers for a scheme that the
// delivery does not have, unless there are no others.
func (e *anyOfError) Error() string {
	var meant, rest []string
	for _, err := range e.errs {
		list := &meant
		if m, ok := err.(*mismatchError); ok && !m.meant {
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

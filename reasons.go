package geminihook

import (
	"slices"
	"strings"
)

// The errors of verifiers that are not configured.
var (
	errNoSecret = withReason(ErrUnavailable,
		"no secret is configured: set HMAC.Secrets")
	errNoPublicKey = withReason(ErrUnavailable,
		"no v1a key is configured: use a non-nil KeySet, or set Ed25519.Keys to usable keys")
	errNoVerifier = withReason(ErrUnavailable,
		"no verifier is configured: set Endpoint.Verifier, and pass AnyOf non-nil verifiers")
)

// errPublicKeys means that no public key matches a "v1a" entry.
var errPublicKeys = withReason(ErrSignature,
	"no v1a entry matches the public keys: the delivery is forged, or "+bodyChanged)

const bodyChanged = "the body was changed before it was verified (by a proxy, " +
	"or because JSON was decoded and encoded again): geminihook verify tells which"

// secretsError means that no secret matches a "v1" entry. It builds its text only
// when asked, because a forged delivery should cost as little as possible.
type secretsError struct{ secrets []Secret }

func (e *secretsError) Unwrap() error { return ErrSignature }

func (e *secretsError) Error() string {
	var names []string
	for _, secret := range e.secrets {
		names = append(names, secret.Name())
	}
	return ErrSignature.Error() + ": no v1 entry matches the secrets " + strings.Join(names, " ") +
		": the secret belongs to another webhook or was rotated, or " + bodyChanged
}

// schemeError means that the delivery has no entry of the scheme that the verifier
// accepts.
type schemeError struct {
	scheme string
	found  counts
}

func (e *schemeError) Unwrap() error { return ErrSignature }

func (e *schemeError) Error() string { return ErrSignature.Error() + ": " + e.reason() }

func (e *schemeError) reason() string {
	switch {
	case e.found.jwt > 0:
		return "webhook-signature is a JWT, which is not accepted: Google's page shows one for " +
			"dynamic webhooks, but Gemini signs them with v1a in the Standard Webhooks format"
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

// Error leaves out verifiers for a scheme that the delivery does not have, unless
// there are no others. It does not repeat a text that is equal to the one before it.
func (e *anyOfError) Error() string {
	var texts, ofOtherSchemes []string
	for _, err := range e.errs {
		// Not errors.As: the error of a nested AnyOf may wrap other errors, too.
		if _, ok := err.(*schemeError); ok {
			ofOtherSchemes = append(ofOtherSchemes, err.Error())
		} else {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) == 0 {
		texts = ofOtherSchemes
	}
	return strings.Join(slices.Compact(texts), "; ")
}

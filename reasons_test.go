package geminihook_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The reasons of verifiers.
const (
	bodyChanged = "the body was changed before it was verified (by a proxy, " +
		"or because JSON was decoded and encoded again): geminihook verify tells which"
	secretMismatch = "no v1 entry matches the secrets whsec_...MDAx: " +
		"the secret belongs to another webhook or was rotated, or " + bodyChanged
	publicKeyMismatch = "no v1a entry matches the public keys: " +
		"the delivery is forged, or " + bodyChanged
	notAJWT = "webhook-signature is a JWT, which is not accepted: Google's page shows one for " +
		"dynamic webhooks, but Gemini signs them with v1a in the Standard Webhooks format"
	dynamicWebhook = "no v1 entry, but a v1a entry: " +
		"this is a dynamic webhook: verify it with a KeySet"
	staticWebhook = "no v1a entry, but a v1 entry: " +
		"this is a static webhook: verify it with an HMAC"
	noV1Entry  = `webhook-signature has no v1 entry of the form "v1,<base64>"`
	noV1aEntry = `webhook-signature has no v1a entry of the form "v1a,<base64>"`

	noSecret    = "no secret is configured: set HMAC.Secrets"
	noPublicKey = "no v1a key is configured: " +
		"use a non-nil KeySet, or set Ed25519.Keys to usable keys"
	noVerifier = "no verifier is configured: " +
		"set Endpoint.Verifier, and pass AnyOf non-nil verifiers"
	notRefreshed = "no v1a entry matches the cached public keys, " +
		"and they could not be fetched again: "
)

// requireVerdict checks the kind of an error and its reason. A nil kind means that
// there must be no error.
func requireVerdict(t *testing.T, err, kind error, reason string) {
	t.Helper()
	if kind == nil {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, kind)
	require.EqualError(t, err, kind.Error()+": "+reason)
}

// TestReasons: the text says what the operator should look at. It is exact, so it
// has neither a signature nor a body.
func TestReasons(t *testing.T) {
	hmac := newVerifier(t)
	public := &geminihook.Ed25519{Keys: publicKeys(1)}
	static := webhooktest.New(geminihook.EventBatchFailed, signer)
	dynamic := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Dynamic(webhooktest.Key(1)))
	with := func(signature string) *webhooktest.Delivery {
		d := static.Clone()
		d.Header.Set("webhook-signature", signature)
		return d
	}
	jwt := with("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")
	for _, tt := range []struct {
		name     string
		verifier geminihook.Verifier
		delivery *webhooktest.Delivery
		reason   string
	}{
		{"another secret", hmac, static.WrongSecret(), secretMismatch},
		{"changed body", public, dynamic.Tampered(), publicKeyMismatch},
		{"dynamic at HMAC", hmac, dynamic, dynamicWebhook},
		{"static at Ed25519", public, static, staticWebhook},
		{"static at KeySet", &geminihook.KeySet{}, static, staticWebhook},
		{"JWT at HMAC", hmac, jwt, notAJWT},
		{"JWT at Ed25519", public, jwt, notAJWT},
		{"JWT at KeySet", &geminihook.KeySet{}, jwt, notAJWT},
		{"unknown scheme at HMAC", hmac, with("v2,AAAA"), noV1Entry},
		{"unknown scheme at Ed25519", public, with("v2,AAAA"), noV1aEntry},
		{"no signature at KeySet", &geminihook.KeySet{}, with("v1a,AAAA"), publicKeyMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.verifier.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			requireVerdict(t, err, geminihook.ErrSignature, tt.reason)
		})
	}
}

func TestReasonsOfAnyOf(t *testing.T) {
	hmac, public := newVerifier(t), &geminihook.Ed25519{Keys: publicKeys(1)}
	static := webhooktest.New(geminihook.EventBatchFailed, signer)
	dynamic := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Dynamic(webhooktest.Key(1)))
	jwt := static.Clone()
	jwt.Header.Set("webhook-signature", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln")
	for _, tt := range []struct {
		name     string
		verifier geminihook.Verifier
		delivery *webhooktest.Delivery
		kind     error
		reason   string
	}{
		{"static", geminihook.AnyOf(hmac, public), static.WrongSecret(), geminihook.ErrSignature, secretMismatch},
		{"dynamic", geminihook.AnyOf(hmac, public), dynamic.Tampered(), geminihook.ErrSignature, publicKeyMismatch},
		{"dynamic, nested", geminihook.AnyOf(geminihook.AnyOf(hmac, public)), dynamic.Tampered(), geminihook.ErrSignature, publicKeyMismatch},
		{"of neither scheme", geminihook.AnyOf(hmac, public), jwt, geminihook.ErrSignature, notAJWT},
		{"malformed", geminihook.AnyOf(hmac, public), &webhooktest.Delivery{Header: http.Header{}}, geminihook.ErrHeader, counted("webhook-id", 0)},
		{"nested without a verifier", geminihook.AnyOf(geminihook.AnyOf()), static, geminihook.ErrUnavailable, noVerifier},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.verifier.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			requireVerdict(t, err, tt.kind, tt.reason)
		})
	}
	t.Run("two secrets", func(t *testing.T) {
		other, err := geminihook.ParseSecret(webhooktest.RandomSecret())
		require.NoError(t, err)
		v := geminihook.AnyOf(hmac, &geminihook.HMAC{Secrets: []geminihook.Secret{other}})
		_, err = v.Verify(t.Context(), static.WrongSecret().Header, static.Body)
		assert.Equal(t, 2, strings.Count(err.Error(), "no v1 entry matches"), "%v", err)
	})
}

// TestErrorsAreComparable: a program may count errors in a map.
func TestErrorsAreComparable(t *testing.T) {
	v := geminihook.AnyOf(newVerifier(t), &geminihook.Ed25519{Keys: publicKeys(1)})
	_, err := v.Verify(t.Context(), newBatch().Tampered().Header, []byte("{}"))
	require.ErrorIs(t, err, geminihook.ErrSignature)
	assert.NotPanics(t, func() { _ = map[error]int{err: 1} })
}

package geminihook_test

import (
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReasons: the text says what the operator should look at, and shows neither
// the signature nor the body.
func TestReasons(t *testing.T) {
	hmac := newVerifier(t)
	public := &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(webhooktest.Key(1))}}
	static := webhooktest.New(geminihook.EventBatchFailed, signer)
	dynamic := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Dynamic(webhooktest.Key(1)))
	with := func(signature string) *webhooktest.Delivery {
		d := static.Clone()
		d.Header.Set("webhook-signature", signature)
		return d
	}
	for _, tt := range []struct {
		name     string
		verifier geminihook.Verifier
		delivery *webhooktest.Delivery
		want     string
	}{
		{"no secret", &geminihook.HMAC{}, static, "no secret is configured: set HMAC.Secrets"},
		{"no key", &geminihook.Ed25519{}, dynamic, "no v1a key is configured"},
		{"no verifier", geminihook.AnyOf(), static, "no verifier is configured"},
		{"another secret", hmac, static.WrongSecret(), "no v1 entry matches the secrets whsec_...MDAx: the secret belongs to another webhook or was rotated"},
		{"changed body", public, dynamic.Tampered(), "no v1a entry matches the public keys"},
		{"dynamic at HMAC", hmac, dynamic, "this is a dynamic webhook: verify it with a KeySet"},
		{"static at Ed25519", public, static, "this is a static webhook: verify it with an HMAC"},
		{"static at KeySet", &geminihook.KeySet{}, static, "this is a static webhook: verify it with an HMAC"},
		{"JWT at HMAC", hmac, with("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), "webhook-signature is a JWT, which is not accepted"},
		{"JWT at Ed25519", public, with("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), "Gemini signs them with v1a"},
		{"unknown scheme", hmac, with("v2,AAAA"), `no v1 entry of the form "v1,<base64>"`},
		{"unknown scheme at Ed25519", public, with("v2,AAAA"), `no v1a entry of the form "v1a,<base64>"`},
		{"AnyOf, static", geminihook.AnyOf(hmac, public), static.WrongSecret(), "no v1 entry matches"},
		{"AnyOf, dynamic", geminihook.AnyOf(hmac, public), dynamic.Tampered(), "no v1a entry matches"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.verifier.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			require.ErrorIs(t, err, geminihook.ErrSignature)
			assert.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), tt.delivery.Header.Get("webhook-signature"))
			assert.NotContains(t, err.Error(), "could not be processed", "the body")
		})
	}
}

func TestReasonsOfAnyOf(t *testing.T) {
	d := webhooktest.New(geminihook.EventBatchFailed, signer)
	t.Run("says each reason once", func(t *testing.T) {
		_, err := geminihook.AnyOf(newVerifier(t), &geminihook.Ed25519{}).Verify(t.Context(), http.Header{}, nil)
		assert.Equal(t, 1, strings.Count(err.Error(), "exactly once"), err.Error())
	})
	t.Run("leaves out verifiers of the other scheme", func(t *testing.T) {
		v := geminihook.AnyOf(newVerifier(t), &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(webhooktest.Key(1))}})
		_, err := v.Verify(t.Context(), d.Tampered().Header, d.Tampered().Body)
		assert.Contains(t, err.Error(), "no v1 entry matches the secrets whsec_...MDAx")
		assert.NotContains(t, err.Error(), "v1a")
	})
}

// TestErrorsAreComparable: a program may count errors in a map.
func TestErrorsAreComparable(t *testing.T) {
	_, err := geminihook.AnyOf(newVerifier(t), &geminihook.Ed25519{}).Verify(t.Context(), newBatch().Tampered().Header, []byte("{}"))
	require.ErrorIs(t, err, geminihook.ErrSignature)
	assert.NotPanics(t, func() { _ = map[error]int{err: 1} })
}

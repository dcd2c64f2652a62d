package geminihook_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKeySetRefuses what a broken or hostile key server may serve; each has a
// separate log line.
func TestKeySetRefuses(t *testing.T) {
	key := webhooktest.Public(webhooktest.Key(1))
	x := base64.RawURLEncoding.EncodeToString(key)
	one := func(jwk string) string { return `{"keys":[` + jwk + `]}` }
	for _, tt := range []struct {
		name string
		body string
		log  string
	}{
		{"empty", "", "not JSON"},
		{"not JSON", "<html>", "not JSON"},
		{"a list", "[]", "not JSON with a list"},
		{"keys is no list", `{"keys":5}`, "not JSON with a list"},
		{"no keys", `{"keys":[]}`, "no usable Ed25519 key"},
		{"no field", `{}`, "no usable Ed25519 key"},
		{"2 MiB", one(`{}`) + strings.Repeat(" ", 2<<20), "longer than 1048576 bytes"},
		{"RSA", one(`{"kty":"RSA","n":"AQAB","e":"AQAB"}`), "OKP"},
		{"X25519", one(`{"kty":"OKP","crv":"X25519","x":"` + x + `"}`), "OKP"},
		{"31 bytes", one(`{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(key[1:]) + `"}`), "31 bytes"},
		{"33 bytes", one(`{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(append(key[:32:32], 1)) + `"}`), "33 bytes"},
		{"no x", one(`{"kty":"OKP","crv":"Ed25519"}`), "0 bytes"},
		{"x not base64url", one(`{"kty":"OKP","crv":"Ed25519","x":"*"}`), "not base64url"},
		{"all zeros", one(`{"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 43) + `"}`), "all zeros"},
		{"for encryption", one(`{"kty":"OKP","crv":"Ed25519","use":"enc","x":"` + x + `"}`), "not \\\"sig\\\""},
		{"for another algorithm", one(`{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"` + x + `"}`), "not for Ed25519"},
		{"not an object", one(`7`), "not a JWK"},
		{"a thousand bad keys", one(strings.Repeat("7,", 999) + "7"), "only the first 16 of 1000 keys"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kt := newKeySetTest(t)
			kt.source.serve(tt.body)
			kt.refuses(1, geminihook.ErrUnavailable)
			assert.Contains(t, kt.logs.String(), tt.log)
			assert.LessOrEqual(t, strings.Count(kt.logs.String(), "\n"), 20, "a stranger cannot flood the log")
		})
	}
	t.Run("status 500", func(t *testing.T) {
		kt := newKeySetTest(t)
		kt.source.set(func(*http.Request) (*http.Response, error) { return httpResponse(500, jwks(1)), nil })
		kt.refuses(1, geminihook.ErrUnavailable)
		assert.Contains(t, kt.logs.String(), "500 Internal Server Error")
	})
	t.Run("good beside bad", func(t *testing.T) {
		kt := newKeySetTest(t)
		kt.source.serve(one(`{"kty":"RSA"},{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"a\u0000b","x":"` + x + `"}`))
		proof, err := kt.verify(1)
		require.NoError(t, err)
		assert.Len(t, proof.KeyName, 43, "an unprintable kid is not used")
	})
	t.Run("keys beyond the bound", func(t *testing.T) {
		kt := newKeySetTest(t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
		kt.accepts(15)
		kt.refuses(16, geminihook.ErrSignature)
	})
	t.Run("bad after good", func(t *testing.T) {
		kt := newKeySetTest(t, 1)
		kt.accepts(1)
		kt.source.serve("<html>")
		kt.clock.advance(2 * time.Hour)
		_, err := kt.verify(9)
		require.ErrorIs(t, err, geminihook.ErrSignature)
		assert.Contains(t, err.Error(), "could not be fetched again: the key set is not JSON")
		kt.accepts(1)
	})
}

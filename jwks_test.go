package geminihook_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// jwkSet is a JWK Set with the given keys in JSON.
func jwkSet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// jwk is the first of webhooktest's keys with further members.
func jwk(members string) string {
	x := base64.RawURLEncoding.EncodeToString(publicKeys(1)[0])
	return `{"kty":"OKP","crv":"Ed25519","x":"` + x + `"` + members + `}`
}

const noUsableKey = "the key set has no usable Ed25519 key"

const (
	rsaKey    = `{"kty":"RSA","alg":"RS256","use":"sig","kid":"other","n":"AQAB","e":"AQAB"}`
	x25519Key = `{"kty":"OKP","crv":"X25519","x":"AAAA"}`
)

// TestKeySetRefuses: a KeySet refuses what a broken or hostile key server may serve.
func TestKeySetRefuses(t *testing.T) {
	const notList = `the key set is not JSON with a list "keys"`
	for _, tt := range []struct {
		name   string
		body   string
		reason string
	}{
		{"empty", "", notList},
		{"not JSON", "<html>", notList},
		{"a list", "[]", notList},
		{"keys is no list", `{"keys":5}`, notList},
		{"no keys", `{"keys":[]}`, noUsableKey},
		{"no field", `{}`, noUsableKey},
		{"null", `{"keys":null}`, noUsableKey},
		{"2 MiB", jwkSet(jwk("")) + strings.Repeat(" ", 2<<20), "the key set is longer than 1048576 bytes"},
		{"only keys of other kinds", jwkSet(rsaKey, x25519Key, `{}`, `null`), noUsableKey},
		{"only keys that cannot be used", jwkSet(jwk(`,"use":"enc"`)), noUsableKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.source.serve(tt.body)
			_, err := ks.verify(1)
			requireVerdict(t, err, geminihook.ErrUnavailable, tt.reason)
			assert.Contains(t, unquote(ks.logs), `reason="`+tt.reason+`"`)
		})
	}
	for _, status := range []int{203, 206, 304, 500} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.source.set(func(*http.Request) (*http.Response, error) {
				return httpResponse(status, jwks(1)), nil
			})
			_, err := ks.verify(1)
			text := fmt.Sprintf("%d %s", status, http.StatusText(status))
			requireVerdict(t, err, geminihook.ErrUnavailable, "the key server responded with "+text)
		})
	}
	t.Run("after a good set", func(t *testing.T) {
		ks := newTestKeySet(t, 1)
		ks.requireAccepts(t, 1)
		ks.source.serve("<html>")
		ks.clock.advance(2 * time.Hour)
		_, err := ks.verify(9)
		requireVerdict(t, err, geminihook.ErrSignature, notRefreshed+notList)
		ks.requireAccepts(t, 1)
	})
}

// unquote returns the log without the backslashes before quotation marks.
func unquote(logs *logBuffer) string { return strings.ReplaceAll(logs.String(), `\"`, `"`) }

// TestUnusableJWK: a key that cannot be used is logged, and the others serve.
func TestUnusableJWK(t *testing.T) {
	key := publicKeys(2)[0]
	withX := func(x []byte) string {
		return `{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(x) + `"}`
	}
	const (
		noSize = "the public key has 0 bytes, but an Ed25519 key has 32"
		use    = `"use" is not "sig"`
		alg    = `"alg" is not for Ed25519`
		object = "a JWK must be a JSON object"
	)
	for _, tt := range []struct {
		name   string
		jwk    string
		reason string
	}{
		{"31 bytes", withX(key[1:]), "the public key has 31 bytes, but an Ed25519 key has 32"},
		{"33 bytes", withX(append(key[:32:32], 1)), "the public key has 33 bytes, but an Ed25519 key has 32"},
		{"all zeros", withX(make([]byte, 32)), smallOrderKey},
		{"no x", `{"kty":"OKP","crv":"Ed25519"}`, noSize},
		{"x is a number", `{"kty":"OKP","crv":"Ed25519","x":5}`, noSize},
		{"x is not base64url", `{"kty":"OKP","crv":"Ed25519","x":"*"}`, `"x" is not base64url without padding`},
		{"for encryption", jwk(`,"use":"enc"`), use},
		{"use is a list", jwk(`,"use":["sig"]`), use},
		{"for another algorithm", jwk(`,"alg":"RS256"`), alg},
		{"alg is an object", jwk(`,"alg":{}`), alg},
		{"a number", `7`, object},
		{"a list", `[]`, object},
		{"a text", `"key"`, object},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.source.serve(jwkSet(tt.jwk, withX(key)))
			ks.requireAccepts(t, 2)
			assert.Contains(t, unquote(ks.logs), `reason="key 1 of 2: `+tt.reason+`"`)
			ks.requireRefuses(t, 1, geminihook.ErrSignature)
		})
	}
	t.Run("a thousand", func(t *testing.T) {
		ks := newTestKeySet(t)
		ks.source.serve(jwkSet(strings.Repeat("7,", 999) + jwk("")))
		ks.requireAccepts(t, 1)
		assert.Contains(t, ks.logs.String(), "983 more keys cannot be used")
		lines := strings.Count(ks.logs.String(), "\n")
		assert.Equal(t, 18, lines, "a stranger cannot flood the log")
	})
}

// TestUsableJWK: members of unexpected types or values do not hide a key.
func TestUsableJWK(t *testing.T) {
	const thumbprint = "0KPKgjn3RqT52uWnsqDSQlFa4CaL5dCADS7PKGeU86g"
	for _, tt := range []struct {
		name    string
		jwk     string
		keyName string
	}{
		{"without kid", jwk(""), thumbprint},
		{"kid", jwk(`,"kid":"key-7"`), "key-7"},
		{"kid is a number", jwk(`,"kid":7`), thumbprint},
		{"kid is an object", jwk(`,"kid":{"a":["b"]}`), thumbprint},
		{"kid is null", jwk(`,"kid":null`), thumbprint},
		{"kid is empty", jwk(`,"kid":""`), thumbprint},
		{"kid is not printable", jwk(`,"kid":"a\u0000b"`), thumbprint},
		{"kid is too long", jwk(`,"kid":"` + strings.Repeat("x", 257) + `"`), thumbprint},
		{"use and alg", jwk(`,"use":"sig","alg":"EdDSA"`), thumbprint},
		{"the newer alg", jwk(`,"alg":"Ed25519"`), thumbprint},
		{"use and alg are null", jwk(`,"use":null,"alg":null`), thumbprint},
		{"members outside RFC 7517", jwk(`,"not_after":1,"iat":"x","x5c":7`), thumbprint},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.source.serve(jwkSet(tt.jwk))
			proof, err := ks.verify(1)
			require.NoError(t, err)
			assert.Equal(t, geminihook.Proof{Scheme: "v1a", KeyName: tt.keyName}, proof)
			assert.NotContains(t, ks.logs.String(), "cannot be used")
		})
	}
}

// TestManyKeys: keys of other kinds do not count, and sixteen others are used.
func TestManyKeys(t *testing.T) {
	others := strings.TrimSuffix(strings.Repeat(rsaKey+","+x25519Key+",", 1000), ",")
	t.Run("after keys of other kinds", func(t *testing.T) {
		ks := newTestKeySet(t)
		ks.source.serve(jwkSet(others, jwk("")))
		ks.requireAccepts(t, 1)
		assert.Equal(t, 1, strings.Count(ks.logs.String(), "\n"), "that is nothing to worry about")
	})
	t.Run("after keys that cannot be used", func(t *testing.T) {
		ks := newTestKeySet(t)
		ks.source.serve(jwkSet(strings.Repeat(jwk(`,"use":"enc"`)+",", 100) + jwk("")))
		ks.requireAccepts(t, 1)
	})
	t.Run("seventeen", func(t *testing.T) {
		ks := newTestKeySet(t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
		ks.requireAccepts(t, 15)
		ks.requireRefuses(t, 16, geminihook.ErrSignature)
		assert.Contains(t, ks.logs.String(),
			"key 17 of 17 and those after it are not read: at most 16 are used")
	})
}

// TestHostileKeySet: what a set costs grows only with its size.
func TestHostileKeySet(t *testing.T) {
	const size = 1 << 18 // a quarter of what a key set may have
	for name, key := range map[string]string{
		"numbers": "7", "objects": "{}", "other kinds": x25519Key, "unusable": jwk(`,"use":"enc"`),
		"deep": strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
	} {
		t.Run(name, func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.source.serve(jwkSet(strings.Repeat(key+",", size/(len(key)+1)) + "7"))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(512*size))
			assert.Contains(t, ks.logs.String(), "has no usable Ed25519 key")
		})
	}
}

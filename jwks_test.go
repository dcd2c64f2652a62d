package geminihook_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeySetMaxAge(t *testing.T) {
	for _, tt := range []struct {
		cacheControl string
		maxAge       time.Duration
		want         time.Duration
	}{
		{"", 0, time.Hour},
		{"", 2 * time.Hour, 2 * time.Hour},
		{"public, max-age=7200", 0, 2 * time.Hour},
		{"Max-Age=7200, must-revalidate", time.Minute, 2 * time.Hour},
		{"max-age=5", 0, time.Minute},
		{"max-age=0", 0, time.Minute},
		{"no-store", 0, time.Minute},
		{"max-age=99999999", 0, 24 * time.Hour},
		{"max-age=99999999999999999999999", 0, 24 * time.Hour},
		{"max-age=soon", 0, time.Hour},
		{"max-age=-5", 0, time.Hour},
	} {
		t.Run(tt.cacheControl, func(t *testing.T) {
			kt := newKeyTest(t)
			kt.MaxAge = tt.maxAge
			kt.source.serve(jwks(1), "Cache-Control", tt.cacheControl)
			kt.accepts(1)
			assert.Contains(t, kt.logs.String(), "max_age="+tt.want.String())
		})
	}
}

// TestKeySetRefuses what a broken or hostile key server may answer; each has a
// log line of its own.
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
		{"a thousand bad keys", one(strings.Repeat("7,", 999) + "7"), "only 16 keys"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kt := newKeyTest(t)
			kt.source.serve(tt.body)
			kt.refuses(1, geminihook.ErrKeysUnavailable)
			assert.Contains(t, kt.logs.String(), tt.log)
			assert.LessOrEqual(t, strings.Count(kt.logs.String(), "\n"), 20, "a stranger cannot flood the log")
		})
	}
	t.Run("status 500", func(t *testing.T) {
		kt := newKeyTest(t)
		kt.source.set(func(*http.Request) (*http.Response, error) { return response(500, jwks(1)), nil })
		kt.refuses(1, geminihook.ErrKeysUnavailable)
		assert.Contains(t, kt.logs.String(), "500 Internal Server Error")
	})
	t.Run("good beside bad", func(t *testing.T) {
		kt := newKeyTest(t)
		kt.source.serve(one(`{"kty":"RSA"},{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"a\u0000b","x":"` + x + `"}`))
		proof, err := kt.verify(1)
		require.NoError(t, err)
		assert.Len(t, proof.Key, 43, "an unprintable kid is not used")
	})
	t.Run("keys beyond the bound", func(t *testing.T) {
		kt := newKeyTest(t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
		kt.accepts(15)
		kt.refuses(16, geminihook.ErrSignature)
	})
	t.Run("bad after good", func(t *testing.T) {
		kt := newKeyTest(t, 1)
		kt.accepts(1)
		kt.source.serve("<html>")
		kt.clock.advance(2 * time.Hour)
		_, err := kt.verify(9)
		require.ErrorIs(t, err, geminihook.ErrSignature)
		assert.Contains(t, err.Error(), "could not be fetched again: the key set is not JSON")
		kt.accepts(1)
	})
}

func TestKeySetSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, answer := range map[string]func(*http.Request) (*http.Response, error){
			"no answer": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
			"slow body": func(r *http.Request) (*http.Response, error) {
				resp := response(200, "")
				resp.Body = io.NopCloser(endless{r.Context()})
				return resp, nil
			},
		} {
			kt := newKeyTest(t)
			kt.clock.now = time.Now()
			kt.source.set(answer)
			start := time.Now()
			kt.refuses(1, geminihook.ErrKeysUnavailable)
			assert.Equal(t, 10*time.Second, time.Since(start), name)
			assert.Contains(t, kt.logs.String(), "deadline exceeded", name)
		}
	})
}

// TestKeySetReadsNoMore than it may, however much there is.
func TestKeySetReadsNoMore(t *testing.T) {
	kt := newKeyTest(t)
	counted := &zeros{}
	kt.source.set(func(*http.Request) (*http.Response, error) {
		resp := response(200, "")
		resp.Body = io.NopCloser(io.LimitReader(counted, 64<<20))
		return resp, nil
	})
	kt.refuses(1, geminihook.ErrKeysUnavailable)
	assert.LessOrEqual(t, counted.n, 2<<20)
}

// zeros is a body without an end.
type zeros struct{ n int }

func (z *zeros) Read(b []byte) (int, error) {
	z.n += len(b)
	return len(b), nil
}

// endless is a body of which a byte comes every second.
type endless struct{ ctx context.Context }

func (e endless) Read(b []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(b, " "), nil
	case <-e.ctx.Done():
		return 0, e.ctx.Err()
	}
}

func TestKeySetURLs(t *testing.T) {
	for _, tt := range []struct {
		url, redirect string
		good          bool
	}{
		{"", "", true},
		{"https://keys.example/jwks.json", "", true},
		{"http://keys.example/jwks.json", "", false},
		{"ftp://127.0.0.1/jwks.json", "", false},
		{"file:///etc/passwd", "", false},
		{"https://", "", false},
		{"%", "", false},
		{"http://127.0.0.1:8080/jwks.json", "", true},
		{"http://localhost:8080/jwks.json", "", true},
		{"http://[::1]:8080/jwks.json", "", true},
		{"http://localhost.example/jwks.json", "", false},
		{"https://keys.example/", "https://other.example/", true},
		{"https://keys.example/", "http://keys.example/", false},
		{"https://keys.example/", "http://127.0.0.1/", false},
		{"http://127.0.0.1/", "http://keys.example/", false},
		{"http://127.0.0.1/", "http://127.0.0.2/", true},
	} {
		t.Run(tt.url+" to "+tt.redirect, func(t *testing.T) {
			kt := newKeyTest(t)
			kt.URL = tt.url
			kt.source.set(func(r *http.Request) (*http.Response, error) {
				if tt.redirect != "" && r.URL.String() != tt.redirect {
					return response(302, "", "Location", tt.redirect), nil
				}
				return response(200, jwks(1)), nil
			})
			if tt.good {
				kt.accepts(1)
				return
			}
			kt.refuses(1, geminihook.ErrKeysUnavailable)
		})
	}
	t.Run("in circles", func(t *testing.T) {
		kt := newKeyTest(t)
		kt.source.set(func(r *http.Request) (*http.Response, error) { return response(302, "", "Location", "/again"), nil })
		kt.refuses(1, geminihook.ErrKeysUnavailable)
		assert.LessOrEqual(t, kt.source.fetches.Load(), int64(4))
	})
}

// TestSignatureEntries: a header full of v1a entries costs a bounded number of
// verifications, because only eight entries and sixteen keys are looked at.
func TestSignatureEntries(t *testing.T) {
	kt := newKeyTest(t, 1)
	d := webhooktest.New(geminihook.EventVideoGenerated).Sign(at, webhooktest.Dynamic(webhooktest.Key(1)))
	valid := d.Header.Get("webhook-signature")
	bad := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
	for n, want := range map[int]error{0: nil, 7: nil, 8: geminihook.ErrSignature} {
		d.Header.Set("webhook-signature", strings.Repeat(bad+" ", n)+valid)
		_, err := kt.Verify(t.Context(), d.Header, d.Body)
		require.ErrorIs(t, err, want, "%d before it", n)
	}
}

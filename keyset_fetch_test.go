package geminihook_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
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
			kt := newKeySetTest(t)
			kt.MaxAge = tt.maxAge
			kt.source.serve(jwks(1), "Cache-Control", tt.cacheControl)
			kt.accepts(1)
			assert.Contains(t, kt.logs.String(), "max_age="+tt.want.String())
		})
	}
}

func TestKeySetSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, respond := range map[string]func(*http.Request) (*http.Response, error){
			"no response": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
			"slow body": func(r *http.Request) (*http.Response, error) {
				resp := httpResponse(200, "")
				resp.Body = io.NopCloser(slowBody{r.Context()})
				return resp, nil
			},
		} {
			kt := newKeySetTest(t)
			kt.clock.now = time.Now()
			kt.source.set(respond)
			start := time.Now()
			kt.refuses(1, geminihook.ErrUnavailable)
			assert.Equal(t, 10*time.Second, time.Since(start), name)
			assert.Contains(t, kt.logs.String(), "deadline exceeded", name)
		}
	})
}

// TestKeySetReadsNoMore than its bound, however long the response is.
func TestKeySetReadsNoMore(t *testing.T) {
	kt := newKeySetTest(t)
	counted := &zeroBody{}
	kt.source.set(func(*http.Request) (*http.Response, error) {
		resp := httpResponse(200, "")
		resp.Body = io.NopCloser(io.LimitReader(counted, 64<<20))
		return resp, nil
	})
	kt.refuses(1, geminihook.ErrUnavailable)
	assert.LessOrEqual(t, counted.n, 2<<20)
}

// zeroBody is a body without an end.
type zeroBody struct{ n int }

func (z *zeroBody) Read(b []byte) (int, error) {
	z.n += len(b)
	return len(b), nil
}

// slowBody is a body of which a byte comes every second.
type slowBody struct{ ctx context.Context }

func (e slowBody) Read(b []byte) (int, error) {
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
			kt := newKeySetTest(t)
			kt.URL = tt.url
			kt.source.set(func(r *http.Request) (*http.Response, error) {
				if tt.redirect != "" && r.URL.String() != tt.redirect {
					return httpResponse(302, "", "Location", tt.redirect), nil
				}
				return httpResponse(200, jwks(1)), nil
			})
			if tt.good {
				kt.accepts(1)
				return
			}
			kt.refuses(1, geminihook.ErrUnavailable)
		})
	}
	t.Run("in circles", func(t *testing.T) {
		kt := newKeySetTest(t)
		kt.source.set(func(r *http.Request) (*http.Response, error) { return httpResponse(302, "", "Location", "/again"), nil })
		kt.refuses(1, geminihook.ErrUnavailable)
		assert.LessOrEqual(t, kt.source.fetches.Load(), int64(4))
	})
}

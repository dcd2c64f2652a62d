package geminihook_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeySetMaxAge(t *testing.T) {
	for _, tt := range []struct {
		name         string
		cacheControl string
		maxAge       time.Duration
		want         time.Duration
	}{
		{"default", "", 0, time.Hour},
		{"MaxAge", "", 2 * time.Hour, 2 * time.Hour},
		{"max-age", "public, max-age=7200", 0, 2 * time.Hour},
		{"max-age instead of MaxAge", "Max-Age=7200, must-revalidate", time.Minute, 2 * time.Hour},
		{"quoted", `max-age="7200"`, 0, 2 * time.Hour},
		{"five seconds", "max-age=5", 0, time.Minute},
		{"zero", "max-age=0", 0, time.Minute},
		{"no-store", "no-store", 0, time.Minute},
		{"no-cache first", "no-cache, max-age=7200", 0, time.Minute},
		{"three years", "max-age=99999999", 0, 24 * time.Hour},
		{"more than fits", "max-age=99999999999999999999999", 0, 24 * time.Hour},
		{"not a number", "max-age=soon", 0, time.Hour},
		{"negative", "max-age=-5", 0, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ks := newTestKeySet(t)
				ks.keys.MaxAge = tt.maxAge
				ks.source.serve(jwks(1), "Cache-Control", tt.cacheControl)
				ks.requireAccepts(t, 1)
				assert.Contains(t, ks.logs.String(), "max_age="+tt.want.String())
				ks.clock.advance(tt.want - 1)
				ks.requireAccepts(t, 1)
				synctest.Wait()
				assert.EqualValues(t, 1, ks.source.fetches.Load(), "fresh")
				ks.clock.advance(1)
				ks.requireAccepts(t, 1)
				synctest.Wait()
				assert.EqualValues(t, 2, ks.source.fetches.Load(), "due")
			})
		})
	}
}

func TestKeySetSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, respond := range map[string]func(*http.Request) (*http.Response, error){
			"no response": func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			},
			"slow body": func(r *http.Request) (*http.Response, error) {
				resp := httpResponse(200, "")
				resp.Body = io.NopCloser(slowBody{r.Context()})
				return resp, nil
			},
		} {
			ks := newTestKeySet(t)
			ks.clock.now = time.Now()
			ks.source.set(respond)
			start := time.Now()
			ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
			assert.Equal(t, 10*time.Second, time.Since(start), name)
			assert.Contains(t, ks.logs.String(), "deadline exceeded", name)
		}
	})
}

// TestKeySetReadsNoMore: a KeySet stops reading near its bound, however long the
// response is.
func TestKeySetReadsNoMore(t *testing.T) {
	ks := newTestKeySet(t)
	counted := &zeroBody{}
	ks.source.set(func(*http.Request) (*http.Response, error) {
		resp := httpResponse(200, "")
		resp.Body = io.NopCloser(io.LimitReader(counted, 64<<20))
		return resp, nil
	})
	ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
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
	const (
		notHTTPS  = "keys are fetched over https only, except from loopback addresses"
		redirects = "the key server redirects more than three times, or to another scheme"
	)
	for _, tt := range []struct {
		name, url, redirect string
		reason              string // the end of it; empty if the keys are fetched
	}{
		{"default", "", "", ""},
		{"https", "https://keys.example/jwks.json", "", ""},
		{"http", "http://keys.example/jwks.json", "", notHTTPS},
		{"ftp", "ftp://127.0.0.1/jwks.json", "", notHTTPS},
		{"file", "file:///etc/passwd", "", notHTTPS},
		{"no host", "https://", "", notHTTPS},
		{"no URL", "%", "", `parse "%": invalid URL escape "%"`},
		{"IPv4 loopback", "http://127.0.0.1:8080/jwks.json", "", ""},
		{"localhost", "http://localhost:8080/jwks.json", "", ""},
		{"IPv6 loopback", "http://[::1]:8080/jwks.json", "", ""},
		{"like localhost", "http://localhost.example/jwks.json", "", notHTTPS},
		{"redirect to https", "https://keys.example/", "https://other.example/", ""},
		{"redirect to http", "https://keys.example/", "http://keys.example/", redirects},
		{"redirect to http, loopback", "https://keys.example/", "http://127.0.0.1/", redirects},
		{"redirect from loopback", "http://127.0.0.1/", "http://keys.example/", notHTTPS},
		{"redirect from loopback to loopback", "http://127.0.0.1/", "http://127.0.0.2/", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.keys.URL = tt.url
			ks.source.set(func(r *http.Request) (*http.Response, error) {
				if tt.redirect != "" && r.URL.String() != tt.redirect {
					return httpResponse(302, "", "Location", tt.redirect), nil
				}
				return httpResponse(200, jwks(1)), nil
			})
			_, err := ks.verify(1)
			if tt.reason == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, geminihook.ErrUnavailable)
			assert.Regexp(t, regexp.QuoteMeta(tt.reason)+"$", err.Error())
		})
	}
	t.Run("in circles", func(t *testing.T) {
		ks := newTestKeySet(t)
		ks.source.set(func(r *http.Request) (*http.Response, error) {
			return httpResponse(302, "", "Location", "/again"), nil
		})
		_, err := ks.verify(1)
		require.ErrorContains(t, err, redirects)
		assert.EqualValues(t, 4, ks.source.fetches.Load())
	})
}

package listen_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAccess: other users of the machine, who can reach its loopback ports, neither see a
// delivery nor have one replayed.
func TestAccess(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	require.Equal(t, http.StatusOK, b.post("api/fault", `{"mode":"500","left":1}`).StatusCode)
	cookie := "geminihook-" + port(t, b.PageURL())
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		status int // of /api/deliveries
	}{
		{"nothing", func(*http.Request) {}, http.StatusForbidden},
		{"another token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+pageToken+"x") }, http.StatusForbidden},
		{"no token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, http.StatusForbidden},
		{"another scheme", func(r *http.Request) { r.Header.Set("Authorization", pageToken) }, http.StatusForbidden},
		{"another cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookie, Value: "x"}) }, http.StatusForbidden},
		{"the cookie of another port", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookie + "0", Value: pageToken}) }, http.StatusForbidden},
		{"the token of changes", func(r *http.Request) { r.Header.Set("X-Geminihook-Token", b.token) }, http.StatusForbidden},
		{"empty in the URL", func(r *http.Request) { r.URL.RawQuery = "token=" }, http.StatusForbidden},
		{"the token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+pageToken) }, http.StatusOK},
		{"in the URL", func(r *http.Request) { r.URL.RawQuery = "token=" + pageToken }, http.StatusOK},
		{"the cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookie, Value: pageToken}) }, http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, route := range routes {
				if tt.status == http.StatusOK && route.path != "api/deliveries" {
					continue
				}
				req, err := http.NewRequest(route.method, b.PageURL()+route.path, strings.NewReader("{}"))
				require.NoError(t, err)
				req.Header.Set("Content-Type", "application/json")
				tt.change(req)
				resp, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				// The body stays unread, because a stream that is not refused does not end.
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, tt.status, resp.StatusCode, "%s %s", route.method, route.path)
			}
		})
	}
	assert.Len(t, b.list(""), 1)
	assert.Len(t, p.got(), 1)
}

// TestWelcome: a browser that opens the printed address gets a cookie that scripts and
// other sites cannot use, and the token leaves its address bar.
func TestWelcome(t *testing.T) {
	b := start(t, listen.Config{})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var first *http.Response
	redirected := func(r *http.Request, _ []*http.Request) error {
		first = r.Response
		return nil
	}
	browser := &http.Client{Jar: jar, CheckRedirect: redirected}
	resp, err := browser.Get(b.OpenURL())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, b.PageURL(), resp.Request.URL.String())
	require.Len(t, first.Cookies(), 1)
	cookie := first.Cookies()[0]
	assert.True(t, cookie.HttpOnly)
	assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	assert.Empty(t, cookie.Domain)
	resp, err = browser.Get(b.PageURL() + "api/deliveries")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusOK, resp.StatusCode)
}

// TestTokens: each run has its own token, unless the user has chosen one that cannot
// be guessed.
func TestTokens(t *testing.T) {
	address := func(token string) string {
		l, err := listen.Start(listen.Config{Addr: "127.0.0.1:0", UI: "127.0.0.1:0", Token: token})
		require.NoError(t, err)
		ended, end := context.WithCancel(t.Context())
		end()
		require.NoError(t, l.Serve(ended))
		return token + strings.TrimPrefix(l.OpenURL(), l.PageURL())
	}
	one, other := address(""), address("")
	assert.NotEqual(t, one, other)
	assert.Greater(t, len(one), len("?token=")+20)
	for _, bad := range []string{"short", "with a space in it", strings.Repeat("x", 129), "percent%20percent%20"} {
		_, err := listen.Start(listen.Config{Addr: "127.0.0.1:0", UI: "127.0.0.1:0", Token: bad})
		require.ErrorIs(t, err, listen.ErrConfig)
		assert.NotContains(t, err.Error(), bad)
	}
}

// port returns the port of a URL.
func port(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u.Port()
}

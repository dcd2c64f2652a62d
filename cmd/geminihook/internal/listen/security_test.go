package listen_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// routes are all routes of the page.
var routes = []struct{ method, path string }{
	{"GET", ""},
	{"GET", "app.js"},
	{"GET", "app.css"},
	{"GET", "icon.svg"},
	{"GET", "nothing"},
	{"GET", "api/deliveries"},
	{"GET", "api/deliveries/latest"},
	{"GET", "api/deliveries/1"},
	{"GET", "api/deliveries/1/copy/curl"},
	{"GET", "api/wait?timeout=0s"},
	{"GET", "api/stream"},
	{"POST", "api/deliveries/1/replay"},
	{"GET", "send.js"},
	{"GET", "api/example"},
	{"POST", "api/send"},
	{"POST", "api/fault"},
	{"POST", "api/clear"},
	{"OPTIONS", "api/clear"},
}

// TestGuard checks every route against requests that do not come from the page.
func TestGuard(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	require.Equal(t, http.StatusOK, b.post("api/fault", `{"mode":"500","left":1}`).StatusCode, "with the token")
	own := strings.TrimSuffix(b.PageURL(), "/")
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
	}{
		{"foreign Host", func(r *http.Request) { r.Host = "evil.example" }},
		{"foreign Host with the port", func(r *http.Request) { r.Host = "evil.example:" + r.URL.Port() }},
		{"other port", func(r *http.Request) { r.Host = "127.0.0.1:1" }},
		{"Host that begins alike", func(r *http.Request) { r.Host = "localhost.evil.example:" + r.URL.Port() }},
		{"foreign Origin", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }},
		{"other loopback Origin", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:3000") }},
		{"https Origin", func(r *http.Request) { r.Header.Set("Origin", strings.Replace(own, "http:", "https:", 1)) }},
		{"null Origin", func(r *http.Request) { r.Header.Set("Origin", "null") }},
		{"second Origin", func(r *http.Request) { r.Header["Origin"] = []string{own, "http://evil.example"} }},
		{"cross-site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		{"same-site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, route := range routes {
				req, err := http.NewRequest(route.method, b.PageURL()+route.path, strings.NewReader("{}"))
				require.NoError(t, err)
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("X-Geminihook-Token", b.token)
				req.Header.Set("Authorization", "Bearer "+pageToken)
				tt.change(req)
				resp, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				// The body stays unread, because a stream that is not refused does not end.
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, http.StatusForbidden, resp.StatusCode, "%s %s", route.method,
					route.path)
			}
		})
	}
	assert.Len(t, b.list(""), 1)
	assert.Len(t, p.got(), 1)
}

// TestToken checks that nothing changes without the token of the page.
func TestToken(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	b.post("api/fault", `{}`) // to learn the token
	for _, tt := range []struct{ name, token, contentType string }{
		{"no token", "", "application/json"},
		{"wrong token", strings.Repeat("A", len(b.token)), "application/json"},
		{"part of the token", b.token[:8], "application/json"},
		{"a form's type", b.token, "text/plain"},
		{"no type", b.token, ""},
	} {
		for _, route := range routes {
			if route.method != http.MethodPost {
				continue
			}
			req, err := http.NewRequest(route.method, b.PageURL()+route.path, strings.NewReader(`{"mode":"same"}`))
			require.NoError(t, err)
			req.Header.Set("X-Geminihook-Token", tt.token)
			req.Header.Set("Content-Type", tt.contentType)
			req.Header.Set("Origin", strings.TrimSuffix(b.PageURL(), "/"))
			assert.Equal(t, http.StatusForbidden, b.do(req).StatusCode, "%s: %s", tt.name,
				route.path)
		}
	}
	assert.Len(t, b.list(""), 1)
	assert.Len(t, p.got(), 1)
}

// TestHeaders checks the headers of every response, refusals included.
func TestHeaders(t *testing.T) {
	b := start(t, listen.Config{})
	for _, path := range []string{"", "app.js", "api/deliveries", "nothing", "api/deliveries/7"} {
		for _, host := range []string{"", "evil.example"} {
			req, err := http.NewRequest(http.MethodGet, b.PageURL()+path, nil)
			require.NoError(t, err)
			req.Host = host
			h := b.do(req).Header
			policy := h.Get("Content-Security-Policy")
			for _, want := range []string{
				"default-src 'none'", "frame-ancestors 'none'", "form-action 'none'",
				"base-uri 'none'",
			} {
				assert.Contains(t, policy, want)
			}
			assert.NotContains(t, policy, "unsafe")
			assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
			assert.Equal(t, "no-store", h.Get("Cache-Control"))
			assert.Empty(t, h.Get("Access-Control-Allow-Origin"))
		}
	}
}

// TestLocalhost checks the names under which a user may open the page.
func TestLocalhost(t *testing.T) {
	b := start(t, listen.Config{})
	for _, name := range []string{"127.0.0.1", "localhost", "LOCALHOST", "[::1]"} {
		req, err := http.NewRequest(http.MethodGet, b.PageURL(), nil)
		require.NoError(t, err)
		req.Host = name + ":" + req.URL.Port()
		req.Header.Set("Sec-Fetch-Site", "none")
		assert.Equal(t, http.StatusOK, b.do(req).StatusCode, name)
	}
}

// TestStreams checks that the number of open streams is bounded.
func TestStreams(t *testing.T) {
	b := start(t, listen.Config{})
	refused := 0
	for range 40 {
		resp, err := http.Get(b.PageURL() + "api/stream?token=" + pageToken)
		require.NoError(t, err)
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
	}
	assert.Equal(t, 8, refused)
}

// TestEscaped checks that the page is not made of what the user gave it.
func TestEscaped(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	b := start(t, listen.Config{Forward: server.URL + `/"><script>alert(1)</script>?p=1`})
	req, err := http.NewRequest(http.MethodGet, b.PageURL(), nil)
	require.NoError(t, err)
	body := new(strings.Builder)
	_, err = readInto(body, b.do(req))
	require.NoError(t, err)
	assert.NotContains(t, body.String(), "<script>alert")
}

package browsertest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestForeign checks that a page of another site, in the same browser, can
// neither read a delivery nor change anything, in any of the ways it has.
func TestForeign(t *testing.T) {
	l := start(t, program(t, func(*http.Request) int { return http.StatusOK }))
	deliver(t, l, webhooktest.New(geminihook.EventBatchSucceeded, signer))
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>another site</title>"))
	}))
	defer site.Close()
	p := newTab(t, strings.Replace(site.URL, "127.0.0.1", "localhost", 1), desktop)
	p.expectProblems = true
	for _, tt := range []struct{ name, attempt, want string }{
		{"read", `fetch(page + "api/deliveries").then(r => "read", () => "refused")`, "refused"},
		{"read without CORS", `fetch(page + "api/deliveries", {mode: "no-cors"}).then(r => r.type, () => "refused")`, "refused"}, // even opaque
		{"stream", `new Promise(done => { const s = new EventSource(page + "api/stream"); s.onopen = () => done("open"); s.onerror = () => done("refused"); })`, "refused"},
		{"script", `new Promise(done => { const s = document.createElement("script"); s.src = page + "app.js"; s.onload = () => done("ran"); s.onerror = () => done("refused"); document.head.append(s); })`, "refused"},
		{"simple POST", `fetch(page + "api/clear", {method: "POST", mode: "no-cors", body: "{}"}).then(r => r.type, () => "refused")`, "refused"},
		{"POST with the header", `fetch(page + "api/clear", {method: "POST", headers: {"Content-Type": "application/json", "X-Geminihook-Token": "x"}, body: "{}"}).then(r => "sent", () => "refused")`, "refused"},
		{"frame", `new Promise(done => { const f = document.createElement("iframe"); f.src = page; f.onload = () => { let seen = "refused"; try { seen = f.contentDocument?.querySelector("#rows") ? "seen" : "refused"; } catch {} done(seen); }; document.body.append(f); })`, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`{ const page = "`+
				l.PageURL()+`"; `+tt.attempt+` }`, chromedp.EvalAwaitPromise))
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}

	// A name that resolves to this machine, as in DNS rebinding: the browser
	// takes the page for one of that site.
	_, port, _ := strings.Cut(strings.TrimSuffix(l.PageURL(), "/"), "127.0.0.1:")
	rebound := newTab(t, "http://rebound.localhost:"+port+"/", desktop)
	rebound.expectProblems = true
	rebound.shows("body", "Host is not an address of this page")
	status, err := chromedp.Run(rebound.ctx, chromedp.Evaluate[int](`fetch("/api/deliveries").then(r => r.status)`,
		chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	assert.Equal(t, http.StatusForbidden, status)

	own := newTab(t, l.OpenURL(), desktop)
	own.until(rows + ` === 1`)
}

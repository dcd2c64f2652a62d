package listen

import (
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"strings"
)

// tokenHeader carries the token of the page in every request that changes
// something.
const tokenHeader = "X-Geminihook-Token"

// policy forbids everything that the page does not need: it has no inline
// scripts or styles, loads nothing from elsewhere, cannot be framed, and cannot
// turn a string into markup.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard lets only the user of the command reach the page. Any web page that the user
// visits can send requests to a loopback port, and one whose name resolves to
// 127.0.0.1 (DNS rebinding) can read the responses.
type guard struct {
	next   http.Handler
	hosts  map[string]bool
	token  string
	access access
}

// protect wraps the routes of the page, which listens on addr.
func protect(next http.Handler, addr, token string, access access) http.Handler {
	g := &guard{next: next, token: token, access: access, hosts: map[string]bool{addr: true}}
	if _, port, err := net.SplitHostPort(addr); err == nil {
		for _, name := range []string{"127.0.0.1", "localhost", "::1"} {
			g.hosts[net.JoinHostPort(name, port)] = true
		}
	}
	return g
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if reason := g.refuse(r); reason != "" {
		http.Error(w, reason, http.StatusForbidden)
		return
	}
	if r.Method == http.MethodGet && r.URL.Path == "/" && g.access.invites(r) {
		g.access.welcome(w, r)
		return
	}
	g.next.ServeHTTP(w, r)
}

// refuse returns why a request is refused, or "".
func (g *guard) refuse(r *http.Request) string {
	switch {
	case !g.hosts[strings.ToLower(r.Host)]:
		return "Host is not an address of this page. Open the address that the command has printed."
	case !g.sameOrigin(r):
		return "The request comes from another site. Type the address of this page, or open it from a bookmark."
	case !g.access.permits(r):
		return "This page needs the token that is in the address which the command has printed. Open that address; a program sends the token as Authorization: Bearer TOKEN."
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return ""
	case subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(g.token)) != 1:
		return "The token of the page is missing or old. Reload the page."
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return "Content-Type must be application/json."
	}
	return ""
}

// sameOrigin reports whether the request comes from the page itself, from the
// address bar, or from a program that is no browser. A browser names another
// origin in one header or the other: see [http.CrossOriginProtection], which
// checks only requests that change something.
func (g *guard) sameOrigin(r *http.Request) bool {
	for _, origin := range r.Header["Origin"] {
		if !strings.EqualFold(origin, "http://"+r.Host) {
			return false
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return false
		}
	}
	return true
}

package listen

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
)

// access lets nobody but the user of the command see the deliveries: whoever else can
// log in to the machine can reach its loopback ports, too. The address that the command
// prints has a token in it, for which the browser gets a cookie, and programs send it
// with each request.
type access struct {
	token  string
	cookie string // its name: the ports of a machine share their cookies
}

// tokenForm is what a token may be. It is in URLs, and must not be guessed.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]{16,128}$`)

// newToken returns a token that no other program can guess.
func newToken() string { return rand.Text() }

// newAccess returns the access to the page at addr with the token, or with a random one
// if it is empty.
func newAccess(token, addr string) (access, error) {
	if token == "" {
		token = newToken()
	}
	if !tokenForm.MatchString(token) {
		return access{}, fmt.Errorf("%w: GEMINIHOOK_TOKEN must have 16 to 128 letters, digits, \"-\" or \"_\"",
			ErrConfig)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return access{}, err
	}
	return access{token: token, cookie: "geminihook-" + port}, nil
}

// permits reports whether the request has the token.
func (a access) permits(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return a.matches(bearer)
	}
	if a.invites(r) {
		return true
	}
	cookie, err := r.Cookie(a.cookie)
	return err == nil && a.matches(cookie.Value)
}

// invites reports whether the token is in the URL, as in the one that the command prints.
func (a access) invites(r *http.Request) bool { return a.matches(r.URL.Query().Get("token")) }

func (a access) matches(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(a.token)) == 1
}

// welcome gives a browser that opens the printed address a cookie, and leads it to the
// same address without the token.
func (a access) welcome(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: a.cookie, Value: a.token, Path: "/",
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

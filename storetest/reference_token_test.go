package storetest_test

import (
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// readToken returns the token as the backend stores it.
func (r *reference) readToken(token string) string {
	switch r.fault {
	case "tokens are lowercased":
		return strings.ToLower(token)
	case "tokens are cut at 32 bytes":
		return token[:min(len(token), 32)]
	}
	return token
}

// repeats reports whether a claim with the token repeats the one that has the key.
func (r *reference) repeats(e *entry, token string, now time.Time) bool {
	switch {
	case e.running && r.has("a repeated claim takes the key of a running transaction"):
		return e.token == token
	case e.running || r.has("a repeated claim is in progress"):
		return false
	case r.has("a late repeated claim is a new attempt") && !now.Before(e.lease):
		return false
	case e.state == released && r.has("a claim after Release repeats the one before"):
		return e.token == token
	case e.state == geminihook.Done && r.has("a claim with the completing token is Acquired"):
		return e.token == token
	case e.attempt > 1 && token != e.token && r.has("a claim with an earlier token is Acquired"):
		return e.earlier == token
	}
	return e.state == geminihook.InProgress && e.token == token
}

// repeat is a claim with the token that has the key.
func (r *reference) repeat(e *entry, now time.Time, lease, keep time.Duration) Claim {
	lease, expires := r.terms(e, now, lease, keep)
	if !r.has("a repeated claim keeps the old lease") {
		e.lease, e.span = now.Add(lease), lease
	}
	if !r.has("a repeated claim keeps the old expiry") {
		e.expires = expires
	}
	e.state = geminihook.InProgress
	if r.has("a repeated claim is a new attempt") {
		e.attempt++
	}
	return Claim{State: geminihook.Acquired, Attempt: e.attempt}
}

// releaseOthers releases the other keys that the token has.
func (r *reference) releaseOthers(key, token string) {
	for k, e := range r.entries {
		if k != key && e.token == token {
			e.state = released
		}
	}
}

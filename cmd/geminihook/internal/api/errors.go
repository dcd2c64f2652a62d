package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"google.golang.org/genai/interactions/models/apierrors"
)

// Error is an error that the API responded with.
type Error struct {
	Status int    // of the HTTP response
	Doing  string // what was attempted
	Text   string // the API's message, without the key, or empty
	badKey bool
}

// Error says what was attempted, why it failed, and what to do.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: the API responded with %d %s", e.Doing, e.Status,
		http.StatusText(e.Status))
	if e.Text != "" {
		text += ": " + strings.TrimRight(e.Text, ".")
	}
	if hint := e.hint(); hint != "" {
		text += ": " + hint
	}
	return text
}

func (e *Error) hint() string {
	switch {
	case e.BadKey():
		return "check the API key, which is in GOOGLE_API_KEY or GEMINI_API_KEY"
	case e.Status == http.StatusForbidden:
		return "the key's project may not do this: check its permissions and that the Gemini API is enabled"
	case e.Status == http.StatusNotFound:
		return `"geminihook list" shows the ids`
	case e.Status == http.StatusTooManyRequests:
		return "wait a minute and try again"
	}
	return ""
}

// BadKey reports whether the API did not accept the key.
func (e *Error) BadKey() bool { return e.Status == http.StatusUnauthorized || e.badKey }

// Uncertain reports whether the call that failed with err may have had its effect
// nonetheless.
func Uncertain(err error) bool {
	if err == nil || errors.Is(err, errNotSent) {
		return false
	}
	var failed *Error
	refused := errors.As(err, &failed) && failed.Status < 500
	return !refused
}

var errNotSent = errors.New("the API could not be reached")

// explain returns an [Error] for a response of the API. An error of the SDK has
// the whole body of the response in its text, so it is taken apart.
func (c *Client) explain(doing string, err error) error {
	var failed *apierrors.APIError
	if !errors.As(err, &failed) {
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return fmt.Errorf("%s: %w: %s", doing, errNotSent, c.redact(err.Error()))
		}
		return fmt.Errorf("%s: %s", doing, c.redact(err.Error()))
	}
	e := &Error{Status: failed.StatusCode, Doing: doing}
	var body struct {
		Error struct {
			Message string
			Details []struct{ Reason string }
		}
	}
	if json.Unmarshal([]byte(failed.Body), &body) == nil {
		e.Text = c.redact(body.Error.Message)
		for _, d := range body.Error.Details {
			e.badKey = e.badKey || d.Reason == "API_KEY_INVALID"
		}
	}
	return e
}

// redact removes the API key from the text, where Google puts it if it has
// suspended the project, and bounds the text.
func (c *Client) redact(text string) string {
	text = strings.ReplaceAll(text, c.key, "[API key]")
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300]) + "..."
	}
	return text
}

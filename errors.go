package geminihook

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// The kinds of errors, for [errors.Is]. The errors that wrap them have texts for
// the log, which say what to do and never contain a secret, a MAC or a body.
var (
	// ErrMethod means that the request is not a POST.
	ErrMethod = errors.New("geminihook: method is not POST")
	// ErrTooLarge means that the body is longer than Endpoint.MaxBody.
	ErrTooLarge = errors.New("geminihook: body is too large")
	// ErrHeader means that webhook-id, webhook-timestamp or webhook-signature
	// is missing, repeated or malformed.
	ErrHeader = errors.New("geminihook: webhook headers are missing or malformed")
	// ErrTimestamp means that webhook-timestamp is outside the tolerance.
	ErrTimestamp = errors.New("geminihook: webhook-timestamp is outside the tolerance")
	// ErrSignature means that no entry of webhook-signature matches a
	// configured key.
	ErrSignature = errors.New("geminihook: no signature matches")
	// ErrKeysUnavailable means that the verifier itself failed, for example
	// because a key set could not be fetched: the delivery may be genuine.
	ErrKeysUnavailable = errors.New("geminihook: verification keys are unavailable")
	// ErrPayload means that the body could not be read or is not a JSON object.
	ErrPayload = errors.New("geminihook: payload is unreadable")
	// ErrForbidden means that Endpoint.Authorize returned an error.
	ErrForbidden = errors.New("geminihook: event was not authorized")
	// ErrInProgress means that another run of the same event has not ended.
	ErrInProgress = errors.New("geminihook: event is being processed")
	// ErrStore means that the store failed, or that the event's key is empty.
	ErrStore = errors.New("geminihook: store failed")
	// ErrLeaseLost means that a claim is no longer held. A Store returns it from
	// Complete, Release and Renew.
	ErrLeaseLost = errors.New("geminihook: lease lost")
	// ErrPermanent is wrapped by every error that Permanent returns. A
	// Transactor that sees it rolls back the function's writes and keeps the
	// mark.
	ErrPermanent = errors.New("geminihook: permanent failure")
)

// refuse returns one of the errors above with a reason for the log.
func refuse(kind error, reason string) error { return fmt.Errorf("%w: %s", kind, reason) }

// permanentError keeps the text of the error that it wraps.
type permanentError struct{ err error }

func (e *permanentError) Error() string   { return e.err.Error() }
func (e *permanentError) Unwrap() []error { return []error{ErrPermanent, e.err} }

// Permanent marks err as a failure that another delivery of the same event would
// not cure. If the program's function or Authorize returns it, the response is
// 200, so that Google does not send the event again, and the Result is [Dropped].
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err: err}
}

// StatusCode returns the HTTP status with which [Endpoint] responds to an error
// from [Endpoint.Receive]: 200 for nil, 503 for an error that another attempt may
// cure, 200 for one made by [Permanent], 405, 413, 403 or 400 for the other
// refusals, and 500 for an error of any other kind.
func StatusCode(err error) int {
	for _, row := range statuses {
		if slices.ContainsFunc(row.errs, func(kind error) bool { return errors.Is(err, kind) }) {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// statuses is in order of precedence, because an error can be of two kinds: the
// failures that another delivery may cure come first.
var statuses = [...]struct {
	status int
	errs   []error
}{
	{http.StatusServiceUnavailable, []error{ErrKeysUnavailable, ErrInProgress, ErrStore}},
	{http.StatusOK, []error{nil, ErrPermanent}},
	{http.StatusForbidden, []error{ErrForbidden}},
	{http.StatusMethodNotAllowed, []error{ErrMethod}},
	{http.StatusRequestEntityTooLarge, []error{ErrTooLarge}},
	{http.StatusBadRequest, []error{ErrHeader, ErrTimestamp, ErrSignature, ErrPayload}},
}

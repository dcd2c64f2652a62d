package geminihook

import (
	"errors"
	"fmt"
	"net/http"
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
	// ErrUnavailable means that the Verifier, Authorize or Key could not decide,
	// for example because a database is down or a key set could not be fetched:
	// the delivery may be genuine.
	ErrUnavailable = errors.New("geminihook: could not decide about the delivery")
	// ErrPayload means that the body could not be read or is not a JSON object.
	ErrPayload = errors.New("geminihook: payload is unreadable")
	// ErrForbidden means that Endpoint.Authorize refused the event. Authorize
	// itself returns an error that wraps it.
	ErrForbidden = errors.New("geminihook: event was not authorized")
	// ErrInProgress means that another run of the same event has not ended.
	ErrInProgress = errors.New("geminihook: event is being processed")
	// ErrStore means that the Store or the Transactor failed.
	ErrStore = errors.New("geminihook: store failed")
	// ErrLeaseLost means that a claim is no longer held. A Store returns it from
	// Renew, Complete and Release. It is also the cause of the end of the
	// function's context if the lease could not be renewed.
	ErrLeaseLost = errors.New("geminihook: lease lost")
	// ErrPermanent is wrapped by every error that Permanent returns. A
	// Transactor that sees it rolls back the function's writes and keeps the
	// mark.
	ErrPermanent = errors.New("geminihook: permanent failure")
)

// withReason returns one of the errors above with a reason for the log.
func withReason(kind error, reason string) error { return fmt.Errorf("%w: %s", kind, reason) }

// permanentError keeps the text of the error that it wraps.
type permanentError struct{ err error }

func (e *permanentError) Error() string   { return e.err.Error() }
func (e *permanentError) Unwrap() []error { return []error{ErrPermanent, e.err} }

// Permanent marks err as final: no other delivery of the same event would change
// it. If the program's function returns it, the event is completed and the Result
// is [Dropped]. If [Endpoint.Authorize] returns it, the event is not for this
// program and the Result is [Ignored]. Either way, the response is 200, so that
// Google does not send the event again. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err: err}
}

// StatusCode returns the HTTP status with which [Endpoint] responds to an error
// from [Endpoint.Receive]: 200 for nil and for an error made by [Permanent], 503
// for one that wraps [ErrUnavailable], [ErrInProgress] or [ErrStore], 405, 413, 403 or
// 400 for the refusals, and 500 for an error of any other kind.
func StatusCode(err error) int {
	is := func(kind error) bool { return errors.Is(err, kind) }
	switch {
	case err == nil || is(ErrPermanent):
		return http.StatusOK
	case is(ErrUnavailable): // before the refusals, which it may wrap
		return http.StatusServiceUnavailable
	case is(ErrForbidden):
		return http.StatusForbidden
	case is(ErrInProgress) || is(ErrStore):
		return http.StatusServiceUnavailable
	case is(ErrMethod):
		return http.StatusMethodNotAllowed
	case is(ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case is(ErrHeader) || is(ErrTimestamp) || is(ErrSignature) || is(ErrPayload):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

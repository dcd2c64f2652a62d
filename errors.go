package geminihook

import (
	"errors"
	"net/http"
)

// What can be wrong with a delivery. errors.Is finds these in every error of
// this package; the text around them is for logs and says what to do. No text
// holds a secret, a MAC or a body.
var (
	// ErrMethod: the request is not a POST.
	ErrMethod = errors.New("geminihook: method is not POST")
	// ErrTooLarge: the body is longer than Endpoint.MaxBody.
	ErrTooLarge = errors.New("geminihook: body is too large")
	// ErrHeader: webhook-id, webhook-timestamp or webhook-signature is
	// missing, repeated or malformed.
	ErrHeader = errors.New("geminihook: webhook headers are missing or malformed")
	// ErrTimestamp: webhook-timestamp is outside the tolerance.
	ErrTimestamp = errors.New("geminihook: webhook-timestamp is outside the tolerance")
	// ErrSignature: no entry of webhook-signature matches a configured key.
	ErrSignature = errors.New("geminihook: no signature matches")
	// ErrKeysUnavailable: the key set could not be fetched and none is cached.
	ErrKeysUnavailable = errors.New("geminihook: verification keys are unavailable")
	// ErrPayload: the body could not be read, or is not a JSON object.
	ErrPayload = errors.New("geminihook: payload is unreadable")
	// ErrForbidden: Endpoint.Authorize refused the event.
	ErrForbidden = errors.New("geminihook: event is not for this receiver")
	// ErrInProgress: another run of the same event has not ended yet.
	ErrInProgress = errors.New("geminihook: event is being processed")
	// ErrStore: the store failed, so nothing is known about the event.
	ErrStore = errors.New("geminihook: store failed")
	// ErrLeaseLost: the claim named by the token is no longer held. A Store
	// returns it from Complete and Release.
	ErrLeaseLost = errors.New("geminihook: lease lost")
	// ErrPermanent is found in what Permanent returns. A Transactor looks for
	// it to keep the mark while it rolls back the function's writes.
	ErrPermanent = errors.New("geminihook: permanent failure")
)

// reasonError is one of the errors above with the reason, for logs.
type reasonError struct {
	kind   error
	reason string
}

func (e *reasonError) Error() string { return e.kind.Error() + ": " + e.reason }
func (e *reasonError) Unwrap() error { return e.kind }

func refuse(kind error, reason string) error { return &reasonError{kind, reason} }

// permanentError keeps the text of the error it wraps.
type permanentError struct{ err error }

func (e *permanentError) Error() string   { return e.err.Error() }
func (e *permanentError) Unwrap() []error { return []error{ErrPermanent, e.err} }

// Permanent marks an error of the program's function as one that another
// delivery of the same event would not cure: "do not send this again". The
// event is completed, the answer is 200 and the Outcome's Result is Dropped.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// StatusCode returns the HTTP status that answers an error of this package, as
// Endpoint answers it: 200 for nil and for Permanent, and 500 for an error
// that is not of this package. It is what a handler that calls Receive replies
// with.
func StatusCode(err error) int {
	for _, row := range answers {
		if errors.Is(err, row.err) {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// answers is in the order of precedence, for an error can be of two kinds: what
// a redelivery may cure comes before what it does not.
var answers = [...]struct {
	err    error
	status int
}{
	{nil, http.StatusOK},
	{ErrMethod, http.StatusMethodNotAllowed},
	{ErrTooLarge, http.StatusRequestEntityTooLarge},
	{ErrForbidden, http.StatusForbidden},
	{ErrKeysUnavailable, http.StatusServiceUnavailable},
	{ErrInProgress, http.StatusServiceUnavailable},
	{ErrStore, http.StatusServiceUnavailable},
	{ErrPermanent, http.StatusOK},
	{ErrHeader, http.StatusBadRequest},
	{ErrTimestamp, http.StatusBadRequest},
	{ErrSignature, http.StatusBadRequest},
	{ErrPayload, http.StatusBadRequest},
}

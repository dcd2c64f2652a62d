package geminihook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Result is what became of a request. It is one type with State, because
// InProgress is one and the other.
type Result = State

// The results of a request, besides InProgress.
const (
	Processed   Result = iota + 16 // the function ran and succeeded
	Duplicate                      // the event was done before
	Rejected                       // not a genuine delivery, or not a delivery
	Forbidden                      // genuine, but Authorize refused it
	Failed                         // the function failed or panicked
	Dropped                        // the function failed with Permanent
	Unavailable                    // the store or the keys failed
)

var stateNames = map[State]string{
	Acquired: "acquired", InProgress: "in progress", Done: "done",
	Processed: "processed", Duplicate: "duplicate", Rejected: "rejected", Forbidden: "forbidden",
	Failed: "failed", Dropped: "dropped", Unavailable: "unavailable",
}

// String returns the name in lower case, fit for a metric's label; "invalid"
// for the zero State.
func (s State) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return "invalid"
}

// Outcome is what became of one request.
type Outcome struct {
	// Result is Processed, Duplicate, InProgress, Rejected, Forbidden, Failed,
	// Dropped or Unavailable.
	Result Result
	// Status is the HTTP status of the answer.
	Status int
	// Event is the verified event; nil where none was decoded.
	Event *Event
	// Err says why, in words for the operator. It can be set with Processed
	// and Dropped: ErrStore if the event could not be marked as done, and
	// ErrLeaseLost if the run outlasted its lease; either way the function may
	// run twice.
	Err error
	// RetryAfter is what the Retry-After header asked for; zero if there was
	// none.
	RetryAfter time.Duration
	// Elapsed is the time from the first look at the request to the answer.
	Elapsed time.Duration
}

// retryAfter is asked for where nothing says how long a trouble lasts.
const retryAfter = 5 * time.Second

var errPanic = errors.New("geminihook: the function panicked")

func refused(err error) Outcome {
	out := Outcome{Result: Rejected, Status: StatusCode(err), Err: err}
	switch out.Status {
	case http.StatusForbidden:
		out.Result = Forbidden
	case http.StatusServiceUnavailable:
		out.Result, out.RetryAfter = Unavailable, retryAfter
	case http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
	default: // whatever a Verifier's error says it is
		out.Status = http.StatusBadRequest
	}
	return out
}

func unavailable(err error) Outcome {
	switch {
	case err == nil:
		err = fmt.Errorf("%w: it answered with no valid state", ErrStore)
	case !errors.Is(err, ErrStore):
		err = fmt.Errorf("%w: %w", ErrStore, err)
	}
	return Outcome{Result: Unavailable, Status: http.StatusServiceUnavailable, Err: err, RetryAfter: retryAfter}
}

func inProgress(left time.Duration) Outcome {
	if left <= 0 {
		left = retryAfter
	}
	return Outcome{Result: InProgress, Status: http.StatusServiceUnavailable, Err: ErrInProgress, RetryAfter: left}
}

func processed(err error) Outcome {
	return Outcome{Result: Processed, Status: http.StatusOK, Err: err}
}

func dropped(err, lost error) Outcome {
	if lost != nil {
		err = fmt.Errorf("%w (and %w)", err, lost)
	}
	return Outcome{Result: Dropped, Status: http.StatusOK, Err: err}
}

func failed(err error) Outcome {
	return Outcome{Result: Failed, Status: http.StatusInternalServerError, Err: err}
}

// reply answers with the status and nothing that a stranger could learn from,
// or with the held reply of the handler behind Middleware, where that decided.
func (o *Outcome) reply(w http.ResponseWriter, held *heldReply) {
	if held != nil {
		_, answered := errors.AsType[*statusError](o.Err)
		if o.Result == Processed || o.Result == Failed && answered {
			o.Status = held.writeTo(w)
			return
		}
	}
	switch {
	case o.Status == http.StatusOK:
		w.WriteHeader(o.Status)
		return
	case o.Status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case o.RetryAfter > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(o.RetryAfter.Seconds()))))
	}
	http.Error(w, http.StatusText(o.Status), o.Status)
}

// note writes the log line and calls Observe.
func (e *Endpoint) note(r *http.Request, o Outcome) {
	if e.Logger != nil && e.Logger.Enabled(r.Context(), o.level()) {
		e.Logger.LogAttrs(r.Context(), o.level(), "gemini webhook", o.attrs(r)...)
	}
	if e.Observe != nil {
		e.Observe(context.WithoutCancel(r.Context()), o)
	}
}

func (o *Outcome) attrs(r *http.Request) []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 9), slog.String("result", o.Result.String()), slog.Int("status", o.Status))
	if o.Event != nil {
		attrs = append(attrs, slog.String("webhook_id", o.Event.ID), slog.String("type", string(o.Event.Type)),
			slog.String("scheme", o.Event.Proof.Scheme), slog.String("key", o.Event.Proof.Key),
			slog.Int("attempt", o.Event.Attempt))
	} else if id := r.Header.Get(headerID); validID(id) {
		attrs = append(attrs, slog.String("webhook_id", id)) // unproven, but what one searches for
	}
	attrs = append(attrs, slog.Duration("elapsed", o.Elapsed))
	if o.Err != nil {
		attrs = append(attrs, slog.String("reason", o.Err.Error()))
	}
	return attrs
}

func (o *Outcome) level() slog.Level {
	switch {
	case o.Result == Failed || o.Result == Unavailable:
		return slog.LevelError
	case o.Err != nil && o.Result != InProgress:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

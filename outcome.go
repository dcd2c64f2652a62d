package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Result is what became of an event or a request. Its text can serve as a metric
// label.
type Result string

// The results. Authorize can cause Forbidden, Dropped and Unavailable: see
// [Endpoint.Authorize].
const (
	Processed   Result = "processed"   // the function ran and succeeded
	Duplicate   Result = "duplicate"   // the event was handled before
	Busy        Result = "busy"        // another run of the event has not ended
	Rejected    Result = "rejected"    // not a POST, too large, malformed, or not a genuine delivery
	Forbidden   Result = "forbidden"   // the delivery is genuine, but Authorize refused it
	Failed      Result = "failed"      // the function failed or panicked, or an Endpoint field is invalid
	Dropped     Result = "dropped"     // the function or Authorize returned a Permanent error
	Unavailable Result = "unavailable" // the store or the verifier failed, or the event has no key
)

// Outcome is what became of one request, or of one call of [Endpoint.Process].
type Outcome struct {
	// Result is the outcome in one word.
	Result Result
	// Status is the HTTP status of the response, or 500 after a panic, when
	// net/http sends none.
	Status int
	// ID is the request's webhook-id, or the ID of the event given to Process.
	// It is empty if the header is missing or malformed, and unverified if Event
	// is nil.
	ID string
	// Event is the verified event, or the one given to Process. It is nil if the
	// delivery was not verified or could not be decoded.
	Event *Event
	// Err is the reason for the Result, in words for the operator. It is nil for
	// Duplicate, and for Processed if the event was marked as done. With
	// Processed or Dropped it wraps ErrStore if the event could not be marked,
	// or ErrLeaseLost if another claim may have taken it; the function may then
	// run twice.
	Err error
	// RetryAfter is what the response's Retry-After header asks for. Zero
	// means that it has none.
	RetryAfter time.Duration
	// Elapsed is the time spent handling the request or the event.
	Elapsed time.Duration
}

// retryAfter is the Retry-After of a 503 whose cause does not tell how long it
// will last.
const retryAfter = 5 * time.Second

var errPanic = errors.New("geminihook: the function panicked, or a callback of the Endpoint did")

// outcome returns an Outcome with the Status and RetryAfter of a result.
func outcome(result Result, err error) Outcome {
	o := Outcome{Result: result, Status: http.StatusOK, Err: err}
	switch result {
	case Failed:
		o.Status = http.StatusInternalServerError
	case Busy, Unavailable:
		o.Status, o.RetryAfter = http.StatusServiceUnavailable, retryAfter
	}
	return o
}

// unavailable is the outcome if the store failed or the event has no key.
func unavailable(err error) Outcome {
	if !errors.Is(err, ErrStore) {
		err = fmt.Errorf("%w: %w", ErrStore, err)
	}
	return outcome(Unavailable, err)
}

// refused is the outcome of an error from receive or check.
func refused(err error) Outcome {
	status := StatusCode(err)
	results := map[int]Result{200: Dropped, 403: Forbidden, 500: Failed, 503: Unavailable}
	o := outcome(cmp.Or(results[status], Rejected), err)
	o.Status = status
	return o
}

// respond sends the status and its text, from which a stranger learns nothing. It
// returns the status.
func (e *Endpoint) respond(w http.ResponseWriter, o Outcome) int {
	text := ""
	if o.Status != http.StatusOK {
		text = http.StatusText(o.Status) + "\n"
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	if o.Status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	if o.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((o.RetryAfter-1)/time.Second)+1, 10)) // rounded up
	}
	if text != "" || e.Observe != nil { // net/http sets it for an empty response, but only after Observe
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	w.WriteHeader(o.Status)
	_, _ = w.Write([]byte(text)) // the sender may have hung up; it will try again
	return o.Status
}

// report writes the log line and calls Observe.
func (e *Endpoint) report(ctx context.Context, o Outcome) {
	ctx = context.WithoutCancel(ctx)
	level := slog.LevelInfo
	switch {
	case o.Result == Failed || o.Result == Unavailable:
		level = slog.LevelError
	case o.Err != nil && o.Result != Busy:
		level = slog.LevelWarn
	}
	if logger := cmp.Or(e.Logger, slog.Default()); logger.Enabled(ctx, level) {
		logger.LogAttrs(ctx, level, "gemini webhook", o.attrs()...)
	}
	if e.Observe != nil {
		e.Observe(ctx, o)
	}
}

func (o *Outcome) attrs() []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 9), slog.String("result", string(o.Result)), slog.Int("status", o.Status))
	if o.ID != "" {
		attrs = append(attrs, slog.String("webhook_id", o.ID))
	}
	if o.Event != nil {
		attrs = append(attrs, slog.String("type", string(o.Event.Type)),
			slog.String("scheme", o.Event.Proof.Scheme), slog.String("key", o.Event.Proof.Key))
		if o.Event.Attempt > 0 {
			attrs = append(attrs, slog.Int("attempt", o.Event.Attempt))
		}
	}
	attrs = append(attrs, slog.Duration("elapsed", o.Elapsed))
	if o.Err != nil {
		attrs = append(attrs, slog.String("reason", o.Err.Error()))
	}
	return attrs
}

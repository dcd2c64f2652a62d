package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Result is what became of an event or a request. Its text can serve as a metric
// label.
type Result string

// The results.
const (
	Processed   Result = "processed"   // the function ran and succeeded
	Duplicate   Result = "duplicate"   // the event was handled before
	Busy        Result = "busy"        // another run of the event has not ended
	Rejected    Result = "rejected"    // not a POST, too large, malformed, or not genuine
	Forbidden   Result = "forbidden"   // genuine, but Authorize returned ErrForbidden
	Ignored     Result = "ignored"     // genuine, but Authorize returned a Permanent error
	Failed      Result = "failed"      // the function failed or panicked, or Endpoint is invalid
	Dropped     Result = "dropped"     // the function returned a Permanent error
	Unavailable Result = "unavailable" // the store, Verifier, Authorize or Key failed
)

// Outcome is what became of one request, or of one call of [Endpoint.Process].
//
// In fmt and slog, an Outcome shows neither its Header nor its Body, and encoding
// it as JSON fails.
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
	// Event is the verified event, or Process's copy of the event it was given.
	// It is nil if the delivery was not verified or could not be decoded.
	Event *Event
	// Header and Body are the request's, as they arrived, valid until Observe
	// returns. Body is nil if it was not read completely. Both are nil for
	// Process. A stranger may have sent them: without an Event, nothing in them
	// is verified.
	Header http.Header
	Body   []byte
	// Err is the reason for the Result, in words for the operator. It is nil for
	// Duplicate, and for Processed if the event was marked as done. With
	// Processed or Dropped it wraps ErrStore if the event could not be marked,
	// or ErrLeaseLost if another claim may have taken it; the function may then
	// run twice. If the function's context had ended when the function failed,
	// it also wraps the cause of that end.
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

// unavailable is the outcome if the store failed.
func unavailable(err error) Outcome {
	if !errors.Is(err, ErrStore) {
		err = fmt.Errorf("%w: %w", ErrStore, err)
	}
	return outcome(Unavailable, err)
}

// refused is the outcome of an error from receive, checkReceive or checkProcess.
func refused(err error) Outcome {
	result := Rejected
	status := StatusCode(err)
	switch status {
	case http.StatusOK:
		result = Ignored
	case http.StatusForbidden:
		result = Forbidden
	case http.StatusInternalServerError:
		result = Failed
	case http.StatusServiceUnavailable:
		result = Unavailable
	}
	o := outcome(result, err)
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
		seconds := int64((o.RetryAfter-1)/time.Second) + 1 // rounded up
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	// net/http sets the length of an empty response when the handler returns. With
	// Observe, the response is flushed before that.
	if text != "" || e.Observe != nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	w.WriteHeader(o.Status)
	_, _ = w.Write([]byte(text)) // the sender may have hung up; it will try again
	return o.Status
}

// report writes the log line and calls Observe.
func (e *Endpoint) report(ctx context.Context, o Outcome) {
	ctx = context.WithoutCancel(ctx)
	e.log(ctx, o)
	if e.Observe != nil {
		e.Observe(ctx, o)
	}
}

// log writes the line about an outcome, unless a stranger has caused too many.
func (e *Endpoint) log(ctx context.Context, o Outcome) {
	logger := cmp.Or(e.Logger, slog.Default())
	level := o.level()
	if !logger.Enabled(ctx, level) {
		return
	}
	if o.fromStranger() {
		allowed, leftOut := e.lines.take(time.Now())
		if leftOut > 0 {
			logger.WarnContext(ctx, leftOutText, "count", leftOut)
		}
		if !allowed {
			return
		}
	}
	logger.LogAttrs(ctx, level, "gemini webhook", o.attrs()...)
}

const leftOutText = "gemini webhook: lines about requests without an authorized event were left out"

// fromStranger reports whether a stranger may have caused the outcome. Whoever has an
// API key can have Google sign the event of a dynamic webhook, and send it here again
// and again.
func (o *Outcome) fromStranger() bool {
	return o.Event == nil || o.Result == Forbidden || o.Result == Ignored
}

// logLimit bounds the log lines that strangers can cause to 10 in any second.
type logLimit struct {
	mu      sync.Mutex
	lines   [10]time.Time // a ring of the times of the last lines
	oldest  int           // the index of the oldest of these times
	leftOut int           // the number of lines left out since told
	told    time.Time     // when a number was last returned
}

// take reports whether a line is allowed now. Once a second at most, it also returns
// how many lines were left out since it last did.
func (l *logLimit) take(now time.Time) (allowed bool, leftOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.lines[l.oldest]) < time.Second {
		l.leftOut++
		return false, 0
	}
	l.lines[l.oldest] = now
	l.oldest = (l.oldest + 1) % len(l.lines)
	if now.Sub(l.told) >= time.Second {
		leftOut, l.leftOut, l.told = l.leftOut, 0, now
	}
	return true, leftOut
}

// level is the level of the log line.
func (o *Outcome) level() slog.Level {
	switch {
	case o.Result == Failed || o.Result == Unavailable:
		return slog.LevelError
	case o.Err != nil && o.Result != Busy && o.Result != Ignored:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// attrs are the attributes of the log line.
func (o *Outcome) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs, slog.String("result", string(o.Result)), slog.Int("status", o.Status))
	attrs = withText(attrs, "webhook_id", o.ID)
	if ev := o.Event; ev != nil {
		attrs = withText(attrs, "type", string(ev.Type))
		attrs = withText(attrs, "job", ev.JobID())
		attrs = withText(attrs, "scheme", ev.Proof.Scheme)
		attrs = withText(attrs, "signed_by", ev.Proof.KeyName)
		attrs = withTimes(attrs, ev)
	}
	attrs = append(attrs, number("elapsed_ms", float64(o.Elapsed.Microseconds())/1e3))
	if o.Err != nil {
		attrs = withText(attrs, "reason", o.Err.Error())
	}
	return attrs
}

// eventAttrs are the attributes of a warning about an event.
func eventAttrs(ev *Event) []slog.Attr {
	attrs := make([]slog.Attr, 0, 6) // one more for a reason
	attrs = withText(attrs, "webhook_id", ev.ID)
	attrs = withText(attrs, "type", string(ev.Type))
	attrs = withText(attrs, "job", ev.JobID())
	return withTimes(attrs, ev)
}

// withText appends an attribute, unless its value is empty.
func withText(attrs []slog.Attr, name, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(name, value))
}

// withTimes appends how often the event was run and how long ago it happened, if
// these are known.
func withTimes(attrs []slog.Attr, ev *Event) []slog.Attr {
	if ev.Attempt > 0 {
		attrs = append(attrs, slog.Int("attempt", ev.Attempt))
	}
	if !ev.Time.IsZero() {
		age := max(time.Since(ev.Time), 0)
		attrs = append(attrs, number("age_s", float64(age.Milliseconds())/1e3))
	}
	return attrs
}

// number returns an attribute with a fraction, unless slog's TextHandler would write
// it with an exponent.
func number(name string, value float64) slog.Attr {
	if value >= 1e6 {
		return slog.Int64(name, int64(value))
	}
	return slog.Float64(name, value)
}

// String returns the result, the status and the ID.
func (o Outcome) String() string {
	return fmt.Sprintf("%s (%d) %q", string(o.Result), o.Status, o.ID)
}

// Format writes the same as String, whatever the verb.
func (o Outcome) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, o.String()) }

// LogValue returns the attributes of the log line for slog.
func (o Outcome) LogValue() slog.Value { return slog.GroupValue(o.attrs()...) }

// MarshalJSON fails, because Header and Body do not belong in a log. Encode the
// fields that you need.
func (o Outcome) MarshalJSON() ([]byte, error) {
	return nil, errors.New("geminihook: an Outcome cannot be encoded as JSON, because its Header and Body would leak: " +
		"encode the fields that you need")
}

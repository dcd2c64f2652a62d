// Package record keeps deliveries as files: those that an endpoint rejected, so that
// you can find out why, and the events on which its function failed, so that you can
// deliver them again.
//
//	recorder := &record.Recorder{Dir: "/var/lib/app/deliveries"}
//	endpoint := &geminihook.Endpoint{Verifier: verifier, Observe: recorder.Observe}
//
// The file of an event that failed has a name that begins with "failed-". It
// disappears as soon as the event is processed, so the files that are left are the
// work that remains:
//
//	geminihook recorded /var/lib/app/deliveries
//	geminihook send -replay failed-5f0d.http -resign https://example.com/gemini
//
// The files of deliveries that were not verified have names that begin with
// "rejected-". "geminihook verify" names the cause. Never handle them as events: a
// stranger may have sent them.
//
// In tests, a Recorder whose Results are [geminihook.Processed] records deliveries
// that webhooktest.Load reads.
//
// The files hold whole bodies, user_metadata included. Treat them as you treat your
// users' data.
package record

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

// Recorder writes deliveries to files. Every field except Dir may stay zero. Do not
// change or copy a Recorder that is in use.
type Recorder struct {
	// Dir is the folder of the files. It is created for its owner alone, with
	// mode 0700. The files have mode 0600. Use the folder for nothing else.
	// Several processes may share it.
	Dir string

	// Results lists the results whose deliveries are recorded. Nil means Rejected,
	// Failed and Dropped.
	Results []geminihook.Result

	// MaxFiles is how many files of each kind are kept: see [Recorder.Observe].
	// The oldest are removed; for an event that failed, that is logged as an error.
	// Zero means 100, and at least one is kept.
	MaxFiles int

	// MaxBytes is the size of the largest body that is recorded, in bytes. A
	// delivery with a larger body is not recorded: if the body were cut, it could
	// neither be verified nor delivered again. Zero means 64 KiB; an event has a
	// few hundred bytes.
	MaxBytes int64

	// Interval is the minimum time between files that strangers can cause, so that
	// a flood costs little. These are the kinds "rejected-" and "forbidden-".
	// Deliveries of these kinds that arrive in the meantime are not recorded. Zero
	// means 10 seconds.
	Interval time.Duration

	// Now is the clock. Nil means time.Now.
	Now func() time.Time

	// Logger gets a line when a delivery was recorded, when it could not be, and
	// when the file of an event was removed, because the event was processed or
	// because of MaxFiles. Nil means slog.Default().
	Logger *slog.Logger

	mu      sync.Mutex
	last    time.Time // when a file that a stranger has caused was last begun
	writing bool      // whether such a file is being written
}

// Observe records the outcome if its Result is among Results. Use it as
// [geminihook.Endpoint.Observe].
//
// There is one file per event. A later attempt replaces it and keeps the time of the
// first one. If the event is processed, the file is removed, unless Results contains
// Processed. It is also removed if the event turns out to be a duplicate, because
// another instance has processed it, but not if it was dropped. The name of a file is
// its kind and a hash of the webhook-id, never the id itself. These are the kinds:
//
//   - "failed-" is a verified event, unless it was processed, forbidden or ignored.
//   - "processed-" is a verified event that was processed.
//   - "forbidden-" is a genuine delivery that Authorize refused or ignored. Anyone
//     can cause one with a dynamic webhook.
//   - "rejected-" is everything else: nothing in it is verified. If at least one of
//     the three webhook headers is missing, the name begins with
//     "rejected-incomplete-"; such a file never replaces or pushes out one that has
//     them.
//
// No kind replaces, removes or pushes out another, except that an event that was
// processed removes its "failed-" file. An event is known by its ID alone. If several
// tenants deliver to one endpoint, give each a Recorder with another Dir, because
// they could choose the same ids.
//
// A file is an HTTP request with the three webhook headers, Content-Type,
// Content-Encoding, Content-Length and the body. Nothing else of the request is
// written: neither the URL nor cookies or credentials. Header lines that begin with
// "Geminihook-" tell the result, the reason, the type, the job, the scheme, when the
// event happened, the times of the first and the last attempt, and how many attempts
// there were: "geminihook recorded" lists them. A request without any webhook
// header, or with another method than POST, is no delivery and is not recorded. If the
// endpoint has not read the body, the file has none and says so.
//
// An event that was given to [geminihook.Endpoint.Process] has no headers. Its file
// has the event's Raw, and its ID as webhook-id if that is possible in a header, but
// neither a timestamp nor a signature. If a program has made the event without Raw,
// the file has no body: it records what happened, but cannot be delivered.
//
// Errors are logged. Writing the file takes time, but does not delay the response.
func (r *Recorder) Observe(ctx context.Context, o geminihook.Outcome) {
	handled := o.Result == geminihook.Processed || o.Result == geminihook.Duplicate
	if o.Event != nil && handled && !r.records(o.Result) {
		r.forget(ctx, o)
		return
	}
	if !r.records(o.Result) || !isDelivery(o) {
		return
	}
	k := kindOf(o)
	if k == rejected || k == forbidden {
		if !r.begin() {
			return
		}
		defer r.end()
	}
	r.record(ctx, k, o)
}

// records reports whether outcomes with the result are recorded.
func (r *Recorder) records(result geminihook.Result) bool {
	results := r.Results
	if results == nil {
		results = []geminihook.Result{geminihook.Rejected, geminihook.Failed, geminihook.Dropped}
	}
	return slices.Contains(results, result)
}

// begin reports whether a stranger may cause a file now. If so, no other such file is
// begun before the caller has called end and the Interval is over.
func (r *Recorder) begin() bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	since := now.Sub(r.last) // negative if the clock was set back
	tooSoon := since >= 0 && since < cmp.Or(r.Interval, 10*time.Second)
	if r.writing || tooSoon {
		return false
	}
	r.writing, r.last = true, now
	return true
}

func (r *Recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = false
}

// record writes the file and logs how it went.
func (r *Recorder) record(ctx context.Context, k kind, o geminihook.Outcome) {
	d := newDelivery(o)
	limit := cmp.Or(r.MaxBytes, 64<<10)
	tooLarge := int64(len(d.body)) > limit || d.headerSize() > maxHeader
	if tooLarge || errors.Is(o.Err, geminihook.ErrTooLarge) {
		r.log(ctx, slog.LevelWarn, "gemini webhook: a delivery is too large to be recorded",
			about(o, slog.Int64("limit_bytes", limit))...)
		return
	}
	name := d.fileName(k)
	kept, removed, err := r.write(k, name, d)
	if k == failed { // nobody else keeps these events
		for _, past := range removed {
			r.log(ctx, slog.LevelError, pushedOutText, past.attrs(r.now())...)
		}
	}
	if err != nil {
		r.log(ctx, slog.LevelError, "gemini webhook: a delivery could not be recorded",
			about(o, slog.String("reason", err.Error()))...)
		return
	}
	if k == processed { // the event may have failed before
		_, err = r.remove(d.fileName(failed))
		r.logNotRemoved(ctx, o, err)
	}
	if kept {
		r.log(ctx, slog.LevelInfo, "gemini webhook: a delivery was recorded",
			about(o, slog.String("file", filepath.Join(r.Dir, name)))...)
	}
}

const pushedOutText = "gemini webhook: the record of an event that failed was removed, because there are more than MaxFiles"

// forget removes the file of an event that was processed, now or before. An event that
// was dropped is a duplicate, too, when it is delivered again, but it was not processed.
func (r *Recorder) forget(ctx context.Context, o geminihook.Outcome) {
	if r.Dir == "" {
		return
	}
	d := newDelivery(o)
	name := d.fileName(failed)
	if o.Result == geminihook.Duplicate {
		past, ok := r.history(name)
		if !ok || past.result == geminihook.Dropped {
			return
		}
	}
	removed, err := r.remove(name)
	r.logNotRemoved(ctx, o, err)
	if removed {
		r.log(ctx, slog.LevelInfo,
			"gemini webhook: a recorded event was processed, so its file was removed",
			about(o, slog.String("file", filepath.Join(r.Dir, name)))...)
	}
}

func (r *Recorder) logNotRemoved(ctx context.Context, o geminihook.Outcome, err error) {
	if err != nil {
		r.log(ctx, slog.LevelError,
			"gemini webhook: the file of an event that was processed could not be removed",
			about(o, slog.String("reason", err.Error()))...)
	}
}

// about returns the attributes that tell which event a line is about, as the endpoint
// logs them, and then one more.
func about(o geminihook.Outcome, last slog.Attr) (attrs []slog.Attr) {
	names := []string{"result", "webhook_id", "type", "job", "age_s"}
	for _, a := range o.LogValue().Group() {
		if slices.Contains(names, a.Key) {
			attrs = append(attrs, a)
		}
	}
	return append(attrs, last)
}

func (r *Recorder) log(
	ctx context.Context, level slog.Level, message string, attrs ...slog.Attr,
) {
	cmp.Or(r.Logger, slog.Default()).LogAttrs(ctx, level, message, attrs...)
}

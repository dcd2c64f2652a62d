package record

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/deliveryfile"
)

// maxHeader is the size of the largest header that is recorded. That of a delivery
// has a few hundred bytes.
const maxHeader = 16 << 10

var webhookHeaders = []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}

// kind is the first part of the name of a file: see Recorder.Observe.
type kind string

const (
	failed    kind = "failed"
	processed kind = "processed"
	forbidden kind = "forbidden"
	rejected  kind = "rejected"
)

func kindOf(o geminihook.Outcome) kind {
	switch {
	case o.Event == nil:
		return rejected
	case o.Result == geminihook.Forbidden || o.Result == geminihook.Ignored:
		return forbidden
	case o.Result == geminihook.Processed:
		return processed
	}
	return failed
}

// isDelivery reports whether the outcome is that of an event, or of a POST with a
// webhook header.
func isDelivery(o geminihook.Outcome) bool {
	if o.Event != nil {
		return true
	}
	if errors.Is(o.Err, geminihook.ErrMethod) {
		return false
	}
	return slices.ContainsFunc(webhookHeaders, func(name string) bool {
		return len(o.Header[name]) > 0 || len(o.Header[strings.ToLower(name)]) > 0
	})
}

// delivery is what is recorded of an outcome.
type delivery struct {
	id       string // empty if there is none
	header   http.Header
	body     []byte
	length   int64 // the Content-Length, which is more than the body if it was cut
	complete bool  // whether all three webhook headers are there
	attempt  int   // how often the function has run, according to the store; zero if unknown
}

func newDelivery(o geminihook.Outcome) *delivery {
	d := &delivery{id: o.ID, body: o.Body}
	if o.Header != nil {
		d.header = pick(o.Header, append(webhookHeaders, "Content-Type", "Content-Encoding")...)
	}
	d.complete = len(pick(d.header, webhookHeaders...)) == len(webhookHeaders)
	if d.id == "" {
		d.id = strings.Join(d.header["Webhook-Id"], ",")
	}
	if ev := o.Event; ev != nil {
		d.id, d.attempt = ev.ID, ev.Attempt
		if d.body == nil {
			d.body = ev.Raw
		}
		if o.Header == nil {
			d.header = unsigned(ev.ID)
		}
	}
	d.length = int64(len(d.body))
	if o.Event == nil && o.Body != nil { // show that the body was cut on its way
		d.length = max(d.length, announced(o.Header))
	}
	d.annotate(o)
	return d
}

// unsigned is the header of an event that was given to Process.
func unsigned(id string) http.Header {
	header := http.Header{"Content-Type": {"application/json"}}
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	if id != "" && len(id) <= 256 && !strings.ContainsFunc(id, invisible) {
		header["Webhook-Id"] = []string{id}
	}
	return header
}

// pick returns the headers of the given canonical names, in canonical or in lower
// case, without characters that would break a line.
func pick(header http.Header, names ...string) http.Header {
	picked := http.Header{}
	for _, name := range names {
		for _, form := range []string{name, strings.ToLower(name)} {
			for _, value := range header[form] {
				picked[name] = append(picked[name], clean(value))
			}
		}
	}
	return picked
}

// announced returns the Content-Length of the request, or zero.
func announced(header http.Header) int64 {
	values := pick(header, "Content-Length")["Content-Length"]
	if len(values) != 1 {
		return 0
	}
	n, _ := strconv.ParseInt(values[0], 10, 64)
	return max(n, 0)
}

// annotate adds the lines that tell what became of the delivery.
func (d *delivery) annotate(o geminihook.Outcome) {
	d.set("Result", string(o.Result))
	if o.Err != nil {
		d.set("Reason", o.Err.Error())
	}
	switch {
	case o.Event == nil && o.Body == nil:
		d.set("Body", "not read")
	case o.Event != nil && o.Header == nil:
		d.set("Source", "Endpoint.Process")
	}
	ev := o.Event
	if ev == nil {
		return
	}
	d.set("Type", string(ev.Type))
	d.set("Job", ev.JobID())
	d.set("Scheme", ev.Proof.Scheme)
	if !ev.Time.IsZero() {
		d.set("Event-Time", ev.Time.UTC().Format(time.RFC3339Nano))
	}
}

// set sets a line of at most 1,000 bytes, unless it would be empty.
func (d *delivery) set(name, value string) {
	const limit = 1000
	value = clean(value)
	if len(value) > limit {
		value = strings.ToValidUTF8(value[:limit], "") + "..."
	}
	if value != "" {
		d.header[deliveryfile.Prefix+name] = []string{value}
	}
}

// setAttempts sets the lines with the times of the first and the last attempt, and
// with their number.
func (d *delivery) setAttempts(first, last time.Time, attempts int) {
	d.set("First-Attempt", first.UTC().Format(time.RFC3339Nano))
	d.set("Last-Attempt", last.UTC().Format(time.RFC3339Nano))
	d.set("Attempts", strconv.Itoa(attempts))
}

// clean replaces what is not printable by spaces, so that a text stays in its line.
func clean(text string) string {
	printable := func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}
	return strings.TrimSpace(strings.Map(printable, text))
}

// headerSize returns the size of the header in the file, roughly.
func (d *delivery) headerSize() (size int) {
	for name, values := range d.header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// fileName returns the name of the file. A delivery without an id is identified by
// its signature and body.
func (d *delivery) fileName(k kind) string {
	identity := "id " + d.id
	if d.id == "" {
		identity = "content " + strings.Join(d.header["Webhook-Signature"], ",") + string(d.body)
	}
	digest := sha256.Sum256([]byte(identity))
	prefix := string(k) + "-"
	if k == rejected && !d.complete {
		prefix = incomplete
	}
	return prefix + hex.EncodeToString(digest[:16]) + suffix
}

// content returns the content of the file.
func (d *delivery) content() []byte { return deliveryfile.Encode(d.header, d.body, d.length) }

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
)

// giveUp is how long Google repeats a delivery.
const giveUp = 24 * time.Hour

// recordedLine is a recorded delivery, and the output for scripts.
type recordedLine struct {
	File   string `json:"file"`
	Result string `json:"result"`
	ID     string `json:"id,omitempty"`     // unverified if the result is rejected
	Type   string `json:"type,omitempty"`   // this and what follows: only of a verified event
	Job    string `json:"job,omitempty"`    // as it was sent
	Scheme string `json:"scheme,omitempty"` // of its signature
	Reason string `json:"reason,omitempty"`
	Source string `json:"source,omitempty"`      // "Endpoint.Process" if it did not come over HTTP
	Key    string `json:"default_key,omitempty"` // in the store, without an Endpoint.Key

	HappenedAt   time.Time `json:"happened_at,omitzero"`
	Age          float64   `json:"age_s,omitempty"` // since it happened
	FirstAttempt time.Time `json:"first_attempt,omitzero"`
	LastAttempt  time.Time `json:"last_attempt,omitzero"`
	Attempts     int       `json:"attempts,omitempty"`

	// NeverSentAgain is whether Google sends the event again, and SentAgainUntil is
	// for how long about.
	NeverSentAgain bool      `json:"never_sent_again"`
	SentAgainUntil time.Time `json:"sent_again_until,omitzero"`

	Body json.RawMessage `json:"body,omitempty"` // only if the file was named
}

func newRecordedLine(d explain.Delivery, now time.Time) recordedLine {
	recorded := newRecording(d.Header)
	line := recordedLine{
		File:        d.Name,
		Result:      recorded.result,
		ID:          d.Header.Get("Webhook-Id"),
		Type:        d.Header.Get("Geminihook-Type"),
		Job:         d.Header.Get("Geminihook-Job"),
		Scheme:      d.Header.Get("Geminihook-Scheme"),
		Reason:      recorded.reason,
		Source:      recorded.source,
		LastAttempt: recorded.last,
	}
	if !line.rejected() && line.ID != "" {
		line.Key = line.Scheme + ":" + line.ID
	}
	line.FirstAttempt = headerTime(d.Header, "Geminihook-First-Attempt")
	line.HappenedAt = headerTime(d.Header, "Geminihook-Event-Time")
	line.Attempts, _ = strconv.Atoi(d.Header.Get("Geminihook-Attempts"))
	if !line.HappenedAt.IsZero() {
		line.Age = max(now.Sub(line.HappenedAt), 0).Truncate(time.Millisecond).Seconds()
	}
	end := line.FirstAttempt.Add(giveUp)
	switch {
	case line.acknowledged() || !now.Before(end):
		line.NeverSentAgain = true
	case line.Source == "":
		line.SentAgainUntil = end
	}
	return line
}

func headerTime(header http.Header, name string) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, header.Get(name))
	return at
}

// acknowledged reports whether the response was a 200, so that Google does not send
// the event again.
func (l recordedLine) acknowledged() bool {
	switch geminihook.Result(l.Result) {
	case geminihook.Processed, geminihook.Duplicate, geminihook.Dropped, geminihook.Ignored:
		return true
	}
	return false
}

// open reports whether it is an event that the program has not handled.
func (l recordedLine) open() bool {
	dropped := l.Result == string(geminihook.Dropped)
	return dropped || (!l.acknowledged() && !l.rejected())
}

func (l recordedLine) rejected() bool { return l.Result == string(geminihook.Rejected) }

// compare puts what was rejected last, and otherwise the oldest first.
func (l recordedLine) compare(other recordedLine) int {
	if l.rejected() != other.rejected() {
		if l.rejected() {
			return 1
		}
		return -1
	}
	return cmp.Or(l.FirstAttempt.Compare(other.FirstAttempt), strings.Compare(l.File, other.File))
}

// showRecorded prints what is known about a recorded delivery.
func (e *env) showRecorded(l recordedLine) {
	color := red
	if l.rejected() || l.acknowledged() {
		color = yellow
	}
	fmt.Fprintf(e.out, "%s: %s\n", visible(l.File), e.paint(color, visible(l.Result)))
	if l.rejected() {
		fmt.Fprint(e.out, wrap("not verified, id "+cmp.Or(l.ID, "unknown"), "  "))
	} else {
		fmt.Fprint(e.out, wrap(cmp.Or(l.Type, "no type")+", job "+cmp.Or(l.Job, "unknown"), "  "))
		fmt.Fprint(e.out, wrap("id "+cmp.Or(l.ID, "unknown"), "  "))
	}
	if !l.HappenedAt.IsZero() {
		at := l.HappenedAt.Format(time.RFC3339)
		fmt.Fprint(e.out, wrap("happened "+at+" ("+age(l.HappenedAt)+")", "  "))
	}
	fmt.Fprint(e.out, wrap(fmt.Sprintf("attempts: %d, first %s, last %s (%s)", l.Attempts,
		l.FirstAttempt.Format(time.RFC3339), l.LastAttempt.Format(time.RFC3339),
		age(l.LastAttempt)), "  "))
	if l.Reason != "" {
		fmt.Fprint(e.out, wrap("reason: "+l.Reason, "  "))
	}
	fmt.Fprint(e.out, wrap(l.fate(), "  "))
	if l.Body != nil {
		e.showBody(l.Body)
	}
	fmt.Fprintln(e.out)
}

// fate tells whether the delivery is sent again.
func (l recordedLine) fate() string {
	until := l.SentAgainUntil.Format(time.RFC3339)
	switch {
	case l.acknowledged():
		text := "never sent again: the response was 200"
		if l.Result == string(geminihook.Dropped) {
			text += ", and it is marked as done in the store, by default with the key " + l.Key
		}
		return text
	case l.NeverSentAgain:
		return "never sent again: the first attempt was more than 24 hours ago"
	case l.Source != "":
		return "given to " + l.Source + " by the program: Google does not send it again, but a queue may"
	case l.rejected():
		return "if Google has sent it, it is sent again until about " + until
	}
	return "sent again until about " + until
}

// showBody prints the body, indented.
func (e *env) showBody(body []byte) {
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "  ", "  "); err != nil {
		return // it is valid JSON
	}
	fmt.Fprint(e.out, "  ")
	for line := range strings.Lines(indented.String() + "\n") {
		fmt.Fprintln(e.out, visible(strings.TrimSuffix(line, "\n")))
	}
}

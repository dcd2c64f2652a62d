// Package explain finds out why a delivery was refused. It undoes what proxies,
// frameworks, and people do to a delivery on its way, and if a signature then
// matches, it knows what was done. That takes up to about two seconds of work, which
// a command can spend, and an endpoint that strangers reach cannot.
package explain

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// Delivery is a delivery as it arrived.
type Delivery struct {
	Name     string // of its file; only for hints about other deliveries
	Header   http.Header
	Body     []byte
	Expected int64 // the Content-Length with which the body was sent, if it was longer than Body
}

// Keys are what deliveries are verified with.
type Keys struct {
	// Secrets are the signing secrets of static webhooks as text, each of which
	// [geminihook.ParseSecret] accepts.
	Secrets []string

	// Dynamic verifies dynamic webhooks. It must have the largest Tolerance,
	// because Explain checks the time itself. Nil means that there are no keys.
	Dynamic geminihook.Verifier
}

// Verdict tells whether a delivery is genuine, and if not, why.
type Verdict struct {
	// Genuine reports whether the signature matches what arrived, at an
	// acceptable time.
	Genuine bool

	// Proof tells how the delivery was verified. It is set, too, if the
	// signature matched only after a change was undone.
	Proof geminihook.Proof

	// Reason is why the delivery was refused: the words of the library's error
	// for the log. It is empty if Genuine.
	Reason string

	// Causes are what led to the refusal, and Hints say it in a sentence each,
	// with what to do. There are none if the Reason says everything. Like the
	// Reason, they never contain a secret, a MAC, or a part of the body.
	Causes []Cause
	Hints  []string

	// SentAt is the time at which the delivery was sent. It is zero if the
	// signature matches nothing.
	SentAt time.Time
}

// Explain judges a delivery at the time now. If now is zero, it judges it at the
// time at which it was sent. The other deliveries arrived at the same place: a
// body may belong to one of them. Explain asks keys.Dynamic with ctx.
func Explain(
	ctx context.Context, d Delivery, keys Keys, now time.Time, others ...Delivery,
) Verdict {
	if text := missing(d.Header); text != "" {
		return because(geminihook.ErrHeader, HeaderMissing, text)
	}
	c := newChecker(ctx, keys)
	heads := mendings(d.Header)
	if found, ok := c.find(heads, candidate{body: d.Body}); ok {
		return found.verdict(d, now)
	}
	if errors.Is(c.err, geminihook.ErrUnavailable) {
		return Verdict{Reason: plain(c.err)}
	}
	if cause, text := signatures(d.Header, keys); cause != "" {
		return because(geminihook.ErrSignature, cause, text)
	}
	for _, search := range []func(*checker, []head, Delivery, []Delivery) (match, bool){
		searchBodies, searchLineEndings, searchEncodings, searchNumbers, searchSecrets,
		searchOthers,
	} {
		if found, ok := search(c, heads, d, others); ok {
			return found.verdict(d, now)
		}
	}
	if errors.Is(c.err, geminihook.ErrHeader) {
		return Verdict{Reason: plain(c.err)}
	}
	cause, text := unmatched(c, d, others)
	return because(geminihook.ErrSignature, cause, text)
}

// because returns the verdict on a delivery that was refused for one cause.
func because(kind error, cause Cause, text string) Verdict {
	return Verdict{Reason: plain(kind), Causes: []Cause{cause}, Hints: []string{text}}
}

// match is a signature that matches after some steps.
type match struct {
	head
	candidate
	proof geminihook.Proof
}

// verdict turns the match into words.
func (m *match) verdict(d Delivery, now time.Time) Verdict {
	v := Verdict{Proof: m.proof, SentAt: sentAt(m.header)}
	steps := append(m.head.steps, m.candidate.steps...)
	for _, s := range steps {
		if !slices.Contains(v.Causes, s.cause) {
			v.Causes = append(v.Causes, s.cause)
		}
	}
	if len(steps) > 0 {
		v.Reason, v.Hints = plain(geminihook.ErrSignature), []string{sentence(steps)}
	}
	if cause, text := clock(v.SentAt, now); cause != "" {
		v.Reason = plain(geminihook.ErrTimestamp)
		v.Causes = append(v.Causes, cause)
		v.Hints = append(v.Hints, text)
	}
	if len(v.Causes) > 0 {
		return v
	}
	if _, err := geminihook.ParseUnverified(d.Body); err != nil {
		v.Reason = plain(err)
		return v
	}
	if v.Genuine = true; isSplit(d.Header) { // the library puts it together again
		v.Causes, v.Hints = []Cause{HeaderSplit}, []string{splitText}
	}
	return v
}

// step is one change that was undone.
type step struct {
	cause Cause
	what  string // continues "the signature matches after "
	why   string // a sentence without a period
}

// sentence says what was undone, and why the first step was needed.
func sentence(steps []step) string {
	var what []string
	for _, s := range steps {
		what = append(what, s.what)
	}
	return "The signature matches after " + strings.Join(what, " and ") + ": " + steps[0].why + "."
}

// plain returns the text of the error without the name of the package, which
// tells the user of the command nothing.
func plain(err error) string { return strings.ReplaceAll(err.Error(), "geminihook: ", "") }

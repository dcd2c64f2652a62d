package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
)

const verifyAbout = `Reports whether recorded deliveries are genuine, and if not, why. A FILE is a
complete HTTP request, as "listen" and package record write it; "-" is standard
input. Each delivery is verified at the time when it was sent, because recorded
deliveries are old, or when it was refused, if the file tells that time; with -now, at
the current time.`

func runVerify(ctx context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, jsonHelp)
	now := flags.Bool("now", false, "refuse deliveries that are more than five minutes old, as a receiver does")
	var v verifierFlags
	v.register(flags)
	if err := parse(flags, args, e, "verify [flags] FILE...", verifyAbout); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return &usageError{`it takes files, or "-" for standard input`}
	}
	keys, err := v.keys(e)
	if err != nil {
		return err // before reading any file
	}
	var all []explain.Delivery
	for _, name := range flags.Args() {
		d, err := readDelivery(name, e)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, d)
	}
	failed := false
	for i, d := range all {
		at, wasRefused := refusedAt(d)
		if *now {
			at, wasRefused = time.Now(), false
		}
		verdict := explain.Explain(ctx, d, keys, at, slices.Delete(slices.Clone(all), i, i+1)...)
		failed = failed || !verdict.Genuine
		line := newVerifyLine(d, verdict, wasRefused)
		if !*asJSON {
			e.report(line)
		} else if err := e.line(line); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// verifyLine is the verdict on a delivery, and the output for scripts.
type verifyLine struct {
	File     string    `json:"file"`
	Verified bool      `json:"verified"`
	ID       string    `json:"id,omitempty"` // this and what follows: only of a genuine delivery
	Type     string    `json:"type,omitempty"`
	Scheme   string    `json:"scheme,omitempty"`
	Key      string    `json:"key,omitempty"`
	SentAt   time.Time `json:"sent_at,omitzero"`
	Reasons  []string  `json:"reasons"` // why it was not accepted, or what is odd about it
}

func newVerifyLine(d explain.Delivery, v explain.Verdict, wasRefused bool) verifyLine {
	recorded := newRecording(d.Header)
	line := verifyLine{File: d.Name, Verified: v.Genuine, Reasons: append([]string{}, v.Hints...)}
	if !v.Genuine {
		if len(line.Reasons) == 0 {
			line.Reasons = append(line.Reasons, v.Reason)
		}
		switch {
		case recorded.source != "":
			line.Reasons = []string{"The event was given to " + recorded.source + ", so it has no signature to verify."}
		case recorded.notRead:
			line.Reasons = []string{"The endpoint did not read the body, so the signature cannot be verified."}
		}
		return line.withRecording(recorded)
	}
	// A genuine delivery has a body that can be parsed.
	if ev, err := geminihook.ParseUnverified(d.Body); err == nil {
		line.Type = string(ev.Type)
	}
	line.ID, line.SentAt = d.Header.Get("webhook-id"), v.SentAt
	line.Scheme, line.Key = v.Proof.Scheme, v.Proof.KeyName
	if wasRefused {
		line.Reasons = append(line.Reasons, "The receiver refused it, so the receiver verifies it with other secrets or keys than this command.")
	}
	return line.withRecording(recorded)
}

// withRecording adds what became of a delivery that package record has written,
// unless the reason is only that it was rejected, which the other lines explain.
func (l verifyLine) withRecording(r recording) verifyLine {
	if r.result != "" && (!r.wasRejected() || r.notRead) {
		l.Reasons = append(l.Reasons, r.String())
	}
	return l
}

// report prints the verdict.
func (e *env) report(l verifyLine) {
	if l.Verified {
		fmt.Fprintf(e.out, "%s: %s\n", visible(l.File), e.paint(green, "genuine"))
		fmt.Fprintf(e.out, "  %s %s\n", visible(l.Type), visible(l.ID))
		fmt.Fprintf(e.out, "  signed %s with %s, sent %s (%s)\n", visible(l.Scheme), visible(l.Key),
			l.SentAt.Format(time.RFC3339), age(l.SentAt))
	} else {
		fmt.Fprintf(e.out, "%s: %s\n", visible(l.File), e.paint(red, "not accepted"))
	}
	for _, reason := range l.Reasons {
		fmt.Fprint(e.out, wrap(reason, "  "))
	}
}

// readDelivery reads the file, or standard input if the name is "-". Unlike
// webhooktest.Read, it accepts a body that is not as long as its Content-Length.
func readDelivery(name string, e *env) (explain.Delivery, error) {
	const limit = 16 << 20
	from := e.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return explain.Delivery{}, err
		}
		defer file.Close()
		from = file
	}
	buffered := bufio.NewReader(io.LimitReader(from, limit))
	req, err := http.ReadRequest(buffered)
	if err != nil {
		return explain.Delivery{}, fmt.Errorf("not an HTTP request: %w", err)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return explain.Delivery{}, err
	}
	left, err := io.ReadAll(buffered) // there is more if Git has changed LF to CRLF
	if err != nil {
		return explain.Delivery{}, err
	}
	body = append(body, left...)
	return explain.Delivery{
		Name: name, Header: req.Header, Body: body, Expected: req.ContentLength,
	}, nil
}

// refusedAt returns the time at which a delivery was refused. Package record writes it
// into the header, and "listen" into the name of the file:
// "refused-20261124T120000Z-...".
func refusedAt(d explain.Delivery) (at time.Time, ok bool) {
	if recorded := newRecording(d.Header); recorded.result != "" {
		if recorded.wasRejected() {
			return recorded.last, !recorded.last.IsZero()
		}
		return time.Time{}, false
	}
	rest, ok := strings.CutPrefix(filepath.Base(d.Name), "refused-")
	if !ok {
		return time.Time{}, false
	}
	stamp, _, _ := strings.Cut(rest, "-")
	at, err := time.Parse("20060102T150405Z", stamp)
	return at, err == nil
}

// age returns how long ago a delivery was sent, in words.
func age(sent time.Time) string {
	d := time.Since(sent)
	switch {
	case d < 0:
		return "in the future"
	case d < 2*time.Hour:
		return d.Round(time.Second).String() + " ago"
	case d < 72*time.Hour:
		return fmt.Sprintf("%.0f hours ago", d.Hours())
	}
	return fmt.Sprintf("%.0f days ago", d.Hours()/24)
}

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
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
complete HTTP request, as "listen" and package refused write it; "-" is standard
input. Each delivery is verified at the time when it was sent, because recorded
deliveries are old, or when it was refused, if its name tells; with -now, at the
current time.`

func verify(ctx context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
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
		at, wasRefused := refusedAt(d.Name)
		if *now {
			at, wasRefused = time.Now(), false
		}
		verdict := explain.Explain(ctx, d, keys, at, slices.Delete(slices.Clone(all), i, i+1)...)
		e.report(d, verdict, wasRefused)
		failed = failed || !verdict.Genuine
	}
	if failed {
		return errReported
	}
	return nil
}

// keys returns what the flags and the environment describe.
func (v *verifierFlags) keys(e *env) (explain.Keys, error) {
	if _, err := v.verifier(e, nil); err != nil {
		return explain.Keys{}, err
	}
	texts, err := secrets(v.secretFile, e)
	keys := explain.Keys{Secrets: texts}
	if v.google || v.jwks != "" {
		keys.Dynamic = &geminihook.KeySet{URL: v.jwks, Tolerance: math.MaxInt64}
	}
	return keys, err
}

// report prints the verdict.
func (e *env) report(d explain.Delivery, v explain.Verdict, wasRefused bool) {
	hints := v.Hints
	if v.Genuine {
		ev, err := geminihook.ParseUnverified(d.Body)
		if err != nil {
			ev = &geminihook.Event{} // cannot be: it is genuine
		}
		fmt.Fprintf(e.out, "%s: %s\n  %s %s\n  signed %s with %s, sent %s (%s)\n", visible(d.Name), e.paint(green, "genuine"),
			visible(string(ev.Type)), visible(d.Header.Get("webhook-id")), visible(v.Proof.Scheme), visible(v.Proof.Key),
			v.SentAt.Format(time.RFC3339), age(v.SentAt))
		if wasRefused {
			hints = append(hints, "The receiver refused it, so the receiver verifies it with other secrets or keys than this command.")
		}
	} else {
		fmt.Fprintf(e.out, "%s: %s\n", visible(d.Name), e.paint(red, "not accepted"))
		if len(hints) == 0 {
			hints = []string{v.Reason}
		}
	}
	for _, hint := range hints {
		fmt.Fprint(e.out, wrap(hint, "  "))
	}
}

// readDelivery reads the file, or standard input if the name is "-". Unlike
// webhooktest.Read, it accepts a body that is shorter than its Content-Length.
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
	req, err := http.ReadRequest(bufio.NewReader(io.LimitReader(from, limit)))
	if err != nil {
		return explain.Delivery{}, fmt.Errorf("not an HTTP request: %w", err)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return explain.Delivery{}, err
	}
	return explain.Delivery{Name: name, Header: req.Header, Body: body, Expected: req.ContentLength}, nil
}

// refusedAt returns the time at which a delivery was refused, if its file has
// the name that package refused gives: "refused-20261124T120000Z-...".
func refusedAt(name string) (at time.Time, ok bool) {
	rest, ok := strings.CutPrefix(filepath.Base(name), "refused-")
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

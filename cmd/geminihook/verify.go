package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

const verifyAbout = `Reports whether recorded deliveries are genuine, and if not, why. A FILE is a
complete HTTP request, as "record" writes it; "-" is standard input. Each
delivery is verified at the time when it was sent, because recorded deliveries
are old; with -now, at the current time.`

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
	if _, err := v.verifier(e, nil); err != nil {
		return err // before reading any file
	}
	at := time.Now
	if !*now {
		at = nil // the time when each delivery was sent
	}
	failed := false
	for _, name := range flags.Args() {
		ok, err := v.one(ctx, e, name, at)
		if err != nil {
			return err
		}
		failed = failed || !ok
	}
	if failed {
		return errReported
	}
	return nil
}

// one verifies one file and prints the verdict.
func (v *verifierFlags) one(ctx context.Context, e *env, name string, at func() time.Time) (ok bool, err error) {
	d, err := readDelivery(name, e)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	sent, sentErr := strconv.ParseInt(d.Header.Get("webhook-timestamp"), 10, 64)
	if at == nil && sentErr == nil {
		at = func() time.Time { return time.Unix(sent, 0) }
	}
	verifier, err := v.verifier(e, at)
	if err != nil {
		return false, err
	}
	proof, err := verifier.Verify(ctx, d.Header, d.Body)
	if err == nil {
		var ev *geminihook.Event
		if ev, err = geminihook.ParseUnverified(d.Body); err == nil {
			fmt.Fprintf(e.out, "%s: %s\n  %s %s\n  signed %s with %s, sent %s (%s)\n", visible(name), e.paint(green, "genuine"),
				visible(string(ev.Type)), visible(d.ID()), visible(proof.Scheme), visible(proof.Key), time.Unix(sent, 0).UTC().Format(time.RFC3339), age(sent))
			return true, nil
		}
	}
	fmt.Fprintf(e.out, "%s: %s\n%s", visible(name), e.paint(red, "not accepted"), wrap(plain(err), "  "))
	if errors.Is(err, geminihook.ErrSignature) {
		for _, hint := range v.explain(ctx, e, verifier, d) {
			fmt.Fprint(e.out, wrap(hint, "  "))
		}
	}
	return false, nil
}

// readDelivery reads the file, or standard input if the name is "-".
func readDelivery(name string, e *env) (*webhooktest.Delivery, error) {
	const limit = 16 << 20
	if name == "-" {
		return webhooktest.Read(io.LimitReader(e.in, limit))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return webhooktest.Read(io.LimitReader(file, limit))
}

// age returns how long ago a delivery was sent, in words.
func age(sent int64) string {
	d := time.Since(time.Unix(sent, 0))
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

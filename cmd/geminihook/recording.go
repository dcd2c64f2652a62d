package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// recording is what the header of a file tells of a delivery that package record has
// written: what became of it.
type recording struct {
	result  string // empty if another program has written the file
	reason  string
	source  string // "Endpoint.Process" if the event was not delivered over HTTP
	notRead bool   // the endpoint has not read the body
	last    time.Time
}

func newRecording(header http.Header) recording {
	last, _ := time.Parse(time.RFC3339Nano, header.Get("Geminihook-Last-Attempt"))
	return recording{
		result:  header.Get("Geminihook-Result"),
		reason:  header.Get("Geminihook-Reason"),
		source:  header.Get("Geminihook-Source"),
		notRead: header.Get("Geminihook-Body") != "",
		last:    last,
	}
}

// wasRejected reports whether nothing in the file was verified when it was written.
func (r recording) wasRejected() bool { return r.result == string(geminihook.Rejected) }

// String says what became of the delivery.
func (r recording) String() string {
	text := "The endpoint recorded it as " + r.result
	if !r.last.IsZero() {
		text += " at " + r.last.Format(time.RFC3339)
	}
	if r.reason != "" {
		text += ": " + r.reason
	}
	return text
}

// readRecorded reads a file with a recorded delivery.
func readRecorded(name string) (*webhooktest.Delivery, recording, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, recording{}, err
	}
	d, err := webhooktest.Read(bytes.NewReader(b))
	if err != nil {
		return nil, recording{}, fmt.Errorf("%s: %w", name, err)
	}
	// Read has left out the header lines of package record.
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return nil, recording{}, fmt.Errorf("%s: %w", name, err)
	}
	return d, newRecording(req.Header), nil
}

// checkSignable returns an error if a recorded delivery must not be signed with the
// user's secrets, because it does not verify with any of them: whoever sent it would
// get a signature for it. With force, only what cannot be an event is refused.
func checkSignable(
	ctx context.Context, name string, d *webhooktest.Delivery, r recording,
	secrets []string, force bool,
) error {
	switch {
	case r.notRead:
		return fmt.Errorf("%s has no body, because the endpoint did not read it: %s", name,
			r.reason)
	case r.source != "" && len(d.Body) == 0:
		return fmt.Errorf("%s has no body, because a program made the event without one", name)
	case force:
		return nil
	case r.source != "":
		return fmt.Errorf("%s has no signature, because the event was given to %s: look at it, "+
			"and sign it with -force", name, r.source)
	}
	err := verifySent(ctx, d, secrets)
	if err == nil {
		return nil
	}
	hint := `"geminihook verify" says more`
	if strings.Contains(d.Header.Get("webhook-signature"), "v1a,") {
		hint = `it is a dynamic delivery, which "geminihook verify -google" verifies`
	}
	return fmt.Errorf("%s does not verify, so a stranger may have made it (%s; %s): "+
		"sign it with -force only if you know where it comes from", name, plain(err), hint)
}

// verifySent verifies a delivery at the time when it was sent.
func verifySent(ctx context.Context, d *webhooktest.Delivery, secrets []string) error {
	if len(secrets) == 0 {
		return errors.New("there is no secret to verify it with")
	}
	verifier := &geminihook.HMAC{Tolerance: math.MaxInt64}
	for _, text := range secrets {
		secret, err := geminihook.ParseSecret(text)
		if err != nil {
			return err
		}
		verifier.Secrets = append(verifier.Secrets, secret)
	}
	_, err := verifier.Verify(ctx, d.Header, d.Body)
	return err
}

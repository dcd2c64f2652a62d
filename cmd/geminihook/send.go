package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

const sendAbout = `Delivers events to a receiver the way Google does. They are signed with the
secrets (v1, one entry per secret) or, with -dynamic, with an Ed25519 key (v1a);
the command then serves the key set while it runs. Redirects are not followed.
The exit status is 0 if every delivery was acknowledged with 2xx. With -tamper
or -stale, it is 0 if every attempt was refused with a 4xx status other than 404
and 405, which rather mean that the URL is wrong.

A -set changes the body before it is signed: -set data.id=batches/42 sets a text,
-set data.count:=3 any JSON value. With -replay, a recorded delivery is sent as it
is, with its old timestamp, which a receiver refuses after five minutes, or, with
-resign, as Google repeats it: with the same id and body and a fresh signature. It
must verify with the secrets, because a stranger may have made it; with -force, it is
signed in any case. A receiver that has processed or dropped the event takes the
repetition for a duplicate; with -fresh-id, it takes it for another event, unless
its Endpoint.Key is ByJob.`

type sendFlags struct {
	typ, file, replay, secretFile, keyFile, jwks string

	set        []member
	n          int
	duplicates float64
	giveUp     time.Duration

	retry, tamper, stale, dynamic, json bool
	resign, force, freshID              bool // only with replay
}

func runSend(ctx context.Context, args []string, e *env) error {
	var f sendFlags
	flags := flag.NewFlagSet("send", flag.ContinueOnError)
	f.define(flags)
	if err := parse(flags, args, e, "send [flags] URL", sendAbout); err != nil {
		return err
	}
	target, err := f.target(flags)
	if err != nil {
		return err
	}
	texts, err := f.texts(e)
	if err != nil {
		return err
	}
	signers, stop, err := f.signers(texts, e)
	if err != nil {
		return err
	}
	defer stop()
	first, err := f.first(ctx, texts, e)
	if err != nil {
		return err
	}
	deliveries, err := f.deliveries(first, signers)
	if err != nil {
		return err
	}
	sender := &webhooktest.Sender{
		URL: target, Signers: signers, Duplicates: f.duplicates,
		FirstRetry: time.Second, MaxRetry: 10 * time.Minute, GiveUp: f.giveUp,
	}
	if !f.retry {
		sender.GiveUp = -1
	}
	if f.tamper || f.stale {
		sender.Signers = nil // keep the bad signatures
	}
	p := newProgress(e, deliveries, f.json)
	sender.Observe = p.attempt
	report, err := sender.Deliver(ctx, deliveries...)
	p.summary(report)
	if err = errors.Join(err, p.err); err != nil {
		return err
	}
	if !p.asExpected(report, f.tamper || f.stale) {
		return errReported
	}
	return nil
}

// define defines the flags.
func (f *sendFlags) define(flags *flag.FlagSet) {
	flags.StringVar(&f.typ, "type", string(geminihook.EventBatchSucceeded), "the `TYPE` of the events, known or not")
	flags.StringVar(&f.file, "file", "", "send the recorded delivery (*.http) or body (*.json) in `FILE` instead of -type")
	flags.StringVar(&f.replay, "replay", "", "send the recorded delivery (*.http) in `FILE` once, with its headers as they are")
	flags.BoolVar(&f.resign, "resign", false, "sign the delivery of -replay again, with the current time")
	flags.BoolVar(&f.force, "force", false, "with -resign, sign a delivery that does not verify, too")
	flags.BoolVar(&f.freshID, "fresh-id", false, "with -resign, give the delivery a fresh id, so that it is another event")
	set := func(text string) error {
		m, err := parseMember(text)
		f.set = append(f.set, m)
		return err
	}
	flags.Func("set", "set a member of the body, by its `PATH=TEXT` or PATH:=JSON; may be repeated",
		set)
	flags.StringVar(&f.secretFile, "secret-file", "", secretFileHelp)
	flags.BoolVar(&f.dynamic, "dynamic", false, "sign with an Ed25519 key, as Google signs dynamic webhooks")
	flags.StringVar(&f.keyFile, "key-file", "", "read the key for -dynamic from `FILE` (PKCS #8, PEM) instead of making a fresh one")
	flags.StringVar(&f.jwks, "jwks", "127.0.0.1:8081", "serve the key set for -dynamic at this `ADDRESS`")
	flags.IntVar(&f.n, "n", 1, "the `NUMBER` of events")
	flags.Float64Var(&f.duplicates, "duplicates", 0, "the `FRACTION` of attempts that are sent twice at the same time, from 0 to 1")
	flags.BoolVar(&f.retry, "retry", false, "repeat each delivery until it is acknowledged")
	flags.DurationVar(&f.giveUp, "give-up", 24*time.Hour, "the `DURATION` after which -retry gives up")
	flags.BoolVar(&f.tamper, "tamper", false, "change the body after signing it")
	flags.BoolVar(&f.stale, "stale", false, "sign with a timestamp one hour in the past")
	flags.BoolVar(&f.json, "json", false, jsonHelp+", for each attempt")
}

// target checks the arguments and the flags, and returns the URL.
func (f *sendFlags) target(flags *flag.FlagSet) (string, error) {
	target, err := url.Parse(flags.Arg(0))
	switch {
	case flags.NArg() != 1:
		return "", &usageError{"it takes one URL"}
	case err != nil || target.Host == "" || (target.Scheme != "http" && target.Scheme != "https"):
		return "", &usageError{"the URL must begin with http:// or https://"}
	case f.n < 1 || f.n > 1_000_000:
		return "", &usageError{"-n must be from 1 to 1000000"}
	case f.duplicates < 0 || f.duplicates > 1:
		return "", &usageError{"-duplicates must be from 0 to 1"}
	}
	return target.String(), f.checkReplay(flags)
}

// checkReplay checks the flags that do not go together with -replay, because it
// sends one recorded delivery, or without -resign, because it changes nothing.
func (f *sendFlags) checkReplay(flags *flag.FlagSet) (err error) {
	switch {
	case f.resign && f.replay == "":
		return &usageError{"-resign needs -replay"}
	case f.freshID && !f.resign:
		return &usageError{"-fresh-id needs -resign"}
	case f.force && !f.resign && f.file == "":
		return &usageError{"-force needs -resign"}
	}
	never := []string{"file", "type", "n"}
	if f.asIs() {
		never = append(never, "set", "tamper", "stale", "dynamic", "secret-file")
	}
	flags.Visit(func(one *flag.Flag) {
		if f.replay == "" || err != nil || !slices.Contains(never, one.Name) {
			return
		}
		hint := ""
		if f.asIs() && !slices.Contains(never[:3], one.Name) {
			hint = ", except with -resign"
		}
		err = &usageError{"-" + one.Name + " and -replay exclude each other" + hint}
	})
	return err
}

// deliveries makes -n deliveries like the first. All but the first get a fresh id.
func (f *sendFlags) deliveries(
	first *webhooktest.Delivery, signers []webhooktest.Signer,
) (all []*webhooktest.Delivery, err error) {
	if f.asIs() {
		return []*webhooktest.Delivery{first}, nil
	}
	if first.Body, err = setMembers(first.Body, f.set); err != nil {
		return nil, err
	}
	for i := range f.n {
		d := first.Clone()
		if i > 0 || f.freshID || d.ID() == "" {
			d.SetID(webhooktest.NewID())
		}
		at := time.Now()
		if f.stale {
			at = at.Add(-time.Hour)
		}
		d.Sign(at, signers...)
		if f.tamper {
			d = d.Tampered()
		}
		all = append(all, d)
	}
	return all, nil
}

// first returns the delivery of -type, -file or -replay. A recorded delivery that is
// signed again must verify with the secrets.
func (f *sendFlags) first(
	ctx context.Context, secrets []string, e *env,
) (*webhooktest.Delivery, error) {
	name := cmp.Or(f.replay, f.file)
	if name == "" {
		return webhooktest.New(geminihook.EventType(f.typ)), nil
	}
	if f.file != "" && strings.HasSuffix(f.file, ".json") {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return webhooktest.NewBody(b), nil
	}
	d, recorded, err := readRecorded(name)
	if err != nil || f.asIs() {
		return d, err
	}
	// A file of -file is a sample of the user's own, unless an endpoint has recorded it.
	if f.resign || recorded.result != "" {
		if err := checkSignable(ctx, name, d, recorded, secrets, f.force); err != nil {
			return nil, err
		}
	}
	if recorded.result == string(geminihook.Dropped) && !f.freshID {
		fmt.Fprint(e.err, wrap("The receiver has dropped this event and marked it as done: unless the mark "+
			"was removed from the store since then, it takes the repetition for a duplicate. "+
			"With -fresh-id, it takes it for another event, unless its Endpoint.Key is ByJob.", ""))
	}
	return d, nil
}

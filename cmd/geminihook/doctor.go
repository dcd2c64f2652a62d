package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
)

const doctorAbout = `Checks the API key, each static webhook, the configured secrets, the clock, and
the key set of dynamic webhooks, and says what to do about what is wrong. With
-endpoint, it also delivers about 40 events to a deployed endpoint, genuine and
forged, of the type "geminihook.doctor", which a program should ignore, and
compares the responses with those of this library. With -endpoint-only, it does
nothing else, and needs no API key. The exit status is 1 if a check fails; a warning
is no failure.`

type doctorFlags struct {
	endpoint, env, events, jwks string
	only, json                  bool
}

// runDoctor is the command "doctor".
func runDoctor(ctx context.Context, args []string, e *env) error {
	var f doctorFlags
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.StringVar(&f.endpoint, "endpoint", "", "test the endpoint at this `URL`, too")
	flags.BoolVar(&f.only, "endpoint-only", false, "check only the secrets and the endpoint, which needs no API key, as in CI")
	flags.StringVar(&f.env, "env", "", secretFileHelp)
	flags.StringVar(&f.events, "events", "", "the `TYPES` that the program wants, separated by commas; by default all")
	flags.StringVar(&f.jwks, "jwks", geminihook.GoogleKeySetURL, "the `URL` of the key set of dynamic webhooks")
	flags.BoolVar(&f.json, "json", false, jsonHelp)
	if err := parse(flags, args, e, "doctor [flags]", doctorAbout); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{"it takes no arguments: the URL belongs after -endpoint"}
	}
	if f.endpoint != "" && !api.IsHTTP(f.endpoint) {
		return &usageError{"the URL of -endpoint must begin with http:// or https://"}
	}
	if f.only && f.endpoint == "" {
		return &usageError{"-endpoint-only needs -endpoint"}
	}
	want, err := eventList(f.events)
	if err != nil {
		return err
	}
	configured, err := f.configured(e)
	if err != nil {
		return err
	}
	findings := &findings{env: e, json: f.json, counts: map[doctor.Level]int{}}
	f.check(ctx, e, want, configured, findings)
	findings.totals()
	if err := ctx.Err(); err != nil {
		return err
	}
	if findings.counts[doctor.Failure] > 0 {
		return errReported
	}
	return findings.err
}

// configured returns the members of GEMINI_WEBHOOK_SECRET, whatever their form.
func (f *doctorFlags) configured(e *env) ([]string, error) {
	text, err := secretText(f.env, e)
	return split(text), err
}

// check makes all checks.
func (f *doctorFlags) check(
	ctx context.Context, e *env, want, configured []string, findings *findings,
) {
	if f.only {
		usable, results := doctor.Configured(configured)
		findings.add(results...)
		findings.add(f.permissions()...)
		f.deliver(ctx, usable, findings)
		return
	}
	keySet, ahead, dated := doctor.Keys(ctx, f.jwks)
	client, all, listed := f.webhooks(ctx, e, findings)
	if client != nil {
		if a, ok := client.Skew(); ok {
			ahead, dated = a, true
		}
	}
	if listed {
		findings.add(doctor.Webhooks(all, want, f.endpoint)...)
	}
	usable, results := doctor.Configured(configured)
	findings.add(results...)
	findings.add(f.permissions()...)
	if listed {
		findings.add(doctor.Secrets(all, usable, f.endpoint)...)
	}
	if dated {
		findings.add(doctor.Clock(ahead))
	}
	findings.add(keySet)
	if f.endpoint != "" {
		f.deliver(ctx, usable, findings)
	}
}

// deliver tests the endpoint.
func (f *doctorFlags) deliver(ctx context.Context, secrets []string, findings *findings) {
	test := &doctor.Endpoint{URL: f.endpoint, Secrets: secrets}
	test.Check(ctx, func(r doctor.Result) {
		r.Check = "endpoint: " + r.Check
		findings.add(r)
	})
}

// webhooks lists the webhooks, which checks the API key.
func (f *doctorFlags) webhooks(
	ctx context.Context, e *env, findings *findings,
) (client *api.Client, all []api.Webhook, ok bool) {
	const check = "API key"
	client, err := api.New(ctx, e.getenv)
	if err == nil {
		all, err = client.List(ctx)
	}
	a, b := e.getenv("GOOGLE_API_KEY"), e.getenv("GEMINI_API_KEY")
	switch {
	case errors.Is(err, api.ErrNoKey):
		findings.add(doctor.Result{
			Check: check, Level: doctor.Failure, Text: "not set, so the webhooks cannot be checked",
			Do: "Set GEMINI_API_KEY (https://aistudio.google.com/apikey).",
		})
	case err != nil:
		findings.add(doctor.Result{Check: check, Level: doctor.Failure, Text: plain(err), Do: "Then run the command again: the webhooks could not be checked."})
	case a != "" && b != "" && a != b:
		findings.add(doctor.Result{
			Check: check, Level: doctor.Warning, Text: "GOOGLE_API_KEY and GEMINI_API_KEY differ, and the SDK uses the former",
			Do: "Remove one of them.",
		})
	default:
		findings.add(doctor.Result{
			Check: check, Level: doctor.OK, Text: "accepted by " + client.URL,
		})
	}
	return client, all, err == nil
}

// permissions checks that not every user can read the file with the secrets. A group may:
// it is the way in which a service that runs as another user reads them.
func (f *doctorFlags) permissions() []doctor.Result {
	info, err := os.Stat(f.env)
	if f.env == "" || err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o007 == 0 {
		return nil
	}
	text := fmt.Sprintf("%s has mode %04o: every user of the machine has access",
		f.env, info.Mode().Perm())
	return []doctor.Result{{
		Check: "secret file", Level: doctor.Warning, Text: text,
		Do:  "Let only its owner read it, or its group with mode 640.",
		Run: doctor.Shell("chmod", "600", f.env),
	}}
}

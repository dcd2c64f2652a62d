package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
)

const listenAbout = `Receives deliveries at any path, verifies them, and shows them on a page on a
second port, which only this machine can reach. With -forward, genuine ones go
unchanged to a local program, whose status is the response; without it, the
response is 200. With -dir, each event is written to a file that "send -file"
and "verify" read, and whatever was not accepted, to the subfolder "refused". Static
webhooks need a secret; dynamic webhooks need -google or -jwks. Press Ctrl-C to
stop it.

  geminihook listen -forward http://127.0.0.1:8080/gemini
  geminihook send http://127.0.0.1:8090/        # in another terminal

Google cannot reach this machine. A tunnel gives the first port a public URL:

  cloudflared   Run "cloudflared tunnel --url http://127.0.0.1:8090". It needs
                no account, and the URL changes with each start.
  ngrok         Run "ngrok http 8090". It needs an account, and the URL can stay
                the same.
  Cloud Run     Deploy a relay that publishes each request to Pub/Sub, and post
                what you pull to this port with headers and body unchanged.

Never expose the second port. Its page needs the token in the printed address, which
GEMINIHOOK_TOKEN sets: then your tests can use it.`

// tokenVariable has the token of the page, if it is not to change with each start.
const tokenVariable = "GEMINIHOOK_TOKEN"

// listenFlags are the flags of "listen".
type listenFlags struct {
	config   listen.Config
	verifier verifierFlags
	setup    string
	json     bool
}

func runListen(ctx context.Context, args []string, e *env) error {
	var f listenFlags
	flags := flag.NewFlagSet("listen", flag.ContinueOnError)
	cfg := &f.config
	flags.StringVar(&cfg.Addr, "addr", "127.0.0.1:8090", "receive deliveries at this `ADDRESS`")
	flags.StringVar(&cfg.UI, "ui", "127.0.0.1:8091", "serve the page at this loopback `ADDRESS`")
	flags.StringVar(&cfg.Forward, "forward", "", "forward genuine deliveries to the program at this `URL`")
	flags.StringVar(&cfg.Dir, "dir", "", "write deliveries to this `FOLDER`, which is created if necessary")
	flags.StringVar(&f.setup, "setup", "", "create a static webhook that delivers to this public `URL` of the first port, and delete it at the end")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per request")
	f.verifier.register(flags)
	if err := parse(flags, args, e, "listen [flags]", listenAbout); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{"it takes no arguments"}
	}
	if f.setup != "" {
		if err := api.CheckURL(f.setup); err != nil {
			return &usageError{"-setup: " + err.Error()}
		}
		f.verifier.optional = true
	}
	keys, err := f.verifier.keys(e)
	if err != nil {
		return err
	}
	if f.setup == "" {
		return f.serve(ctx, e, keys)
	}
	webhook, secret, err := newTemporary(ctx, e, f.setup)
	if err != nil {
		return err
	}
	keys.Secrets = append(keys.Secrets, secret)
	return errors.Join(f.serve(ctx, e, keys), webhook.end(ctx))
}

// serve listens until the context ends.
func (f *listenFlags) serve(ctx context.Context, e *env, keys explain.Keys) (err error) {
	cfg := f.config
	if cfg.Verifier, err = f.verifier.verifier(keys); err != nil {
		return err
	}
	for _, s := range keys.Secrets {
		cfg.Signers = append(cfg.Signers, webhooktest.Static(s))
	}
	cfg.Token = e.getenv(tokenVariable)
	cfg.Explain = explainer(keys)
	cfg.Observe, cfg.Problem = e.notice, e.problem
	if f.json {
		cfg.Observe = func(n listen.Notice) { _ = e.line(n) }
	}
	l, err := listen.Start(cfg)
	if errors.Is(err, listen.ErrConfig) {
		return &usageError{strings.TrimPrefix(err.Error(), listen.ErrConfig.Error()+": ")}
	}
	if err != nil {
		return err
	}
	if f.json {
		fmt.Fprintf(e.err, "page  %s\n", l.OpenURL()) // which is no line about a request
	} else {
		e.listening(l, &cfg)
	}
	return l.Serve(ctx)
}

// explainer returns a function for [listen.Config] that explains why a delivery was not
// accepted, in the words of "verify".
func explainer(keys explain.Keys) func(context.Context, listen.Refusal) []string {
	return func(ctx context.Context, r listen.Refusal) []string {
		d := explain.Delivery{Header: r.Header, Body: r.Body}
		verdict := explain.Explain(ctx, d, keys, r.At)
		if len(verdict.Hints) > 0 && !verdict.Genuine {
			return verdict.Hints
		}
		return []string{plain(r.Err)}
	}
}

// listening prints where everything is.
func (e *env) listening(l *listen.Listener, cfg *listen.Config) {
	fmt.Fprintf(e.out, "receiving   %s  (any path; expose this port)\n", l.ReceiveURL())
	fmt.Fprintf(e.out, "page        %s\n", l.OpenURL())
	fmt.Fprint(e.out, "            (for you alone; never expose this port)\n")
	if target, err := url.Parse(cfg.Forward); err == nil && cfg.Forward != "" {
		fmt.Fprintf(e.out, "forwarding  %s\n", visible(target.Redacted()))
	}
	if cfg.Dir != "" {
		fmt.Fprintf(e.out, "writing     %s\n", visible(cfg.Dir))
	}
	fmt.Fprintln(e.out)
}

// notice prints one line per request, followed by the reasons if it was not
// accepted.
func (e *env) notice(n listen.Notice) {
	word := n.Verdict
	switch {
	case n.Replay != "":
		word = "replay"
	case n.Duplicate:
		word = "duplicate"
	case n.Verdict == "genuine" && n.Attempt > 1:
		word = fmt.Sprintf("attempt %d", n.Attempt)
	}
	typ, id := cut(visible(n.Type), 24), cut(visible(n.ID), 24)
	line := fmt.Sprintf("%s  %s  %-12s  %-24s  %s", n.At.Format(time.TimeOnly), e.statusText(n),
		word, typ, id)
	fmt.Fprintln(e.out, strings.TrimRight(line, " "))
	for _, reason := range slices.Concat(n.Reasons, []string{n.Note}) {
		if reason != "" {
			fmt.Fprint(e.out, wrap(reason, "          "))
		}
	}
}

// statusText is red unless the status is 2xx. A request that is not a POST, such
// as a browser's, is no failure.
func (e *env) statusText(n listen.Notice) string {
	switch {
	case n.Verdict == "probe":
		return fmt.Sprint(n.Status)
	case n.Status >= 200 && n.Status <= 299:
		return e.paint(green, fmt.Sprint(n.Status))
	}
	return e.paint(red, fmt.Sprint(n.Status))
}

func (e *env) problem(err error) { fmt.Fprint(e.err, wrap("geminihook listen: "+plain(err), "")) }

package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

const recordAbout = `Receives deliveries at any path, verifies them, responds with 200, and writes
each event once to a file that "send -file" and "verify" read. Static webhooks
need a secret; dynamic webhooks need -jwks or -google. Interrupt it to end it.`

func record(ctx context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "listen at this `ADDRESS`")
	dir := flags.String("dir", "deliveries", "write the files to this `FOLDER`, which is created if necessary")
	var v verifierFlags
	v.register(flags)
	if err := parse(flags, args, e, "record [flags]", recordAbout); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{"it takes no arguments"}
	}
	verifier, err := v.verifier(e, nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	log := &lines{env: e}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Observe: log.outcome, Logger: slog.New(slog.DiscardHandler)}
	server := &http.Server{
		Handler:           endpoint.Middleware(webhooktest.Record(*dir, nil)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
	}
	fmt.Fprintf(e.out, "listening on http://%s/, writing to %s\n", l.Addr(), visible(*dir))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

// lines prints one line per delivery, followed by the reason if it was refused.
type lines struct {
	env *env
	mu  sync.Mutex
}

func (l *lines) outcome(_ context.Context, o geminihook.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	color, what := red, ""
	if o.Status == http.StatusOK {
		color = green
	}
	if o.Event != nil {
		what = fmt.Sprintf("%-27s  %s", cut(visible(string(o.Event.Type)), 27), cut(visible(o.Event.ID), 24))
	}
	line := fmt.Sprintf("%s  %s  %-10s  %s", time.Now().Format(time.TimeOnly),
		l.env.paint(color, fmt.Sprint(o.Status)), o.Result, what)
	fmt.Fprintln(l.env.out, strings.TrimRight(line, " "))
	if o.Err != nil {
		fmt.Fprint(l.env.out, wrap(plain(o.Err), "          "))
	}
}

// verifierFlags are the flags that choose the verifier.
type verifierFlags struct {
	secretFile, jwks string
	google           bool
}

func (v *verifierFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&v.secretFile, "secret-file", "", secretFileHelp)
	flags.StringVar(&v.jwks, "jwks", "", "verify dynamic webhooks with the key set at this `URL`")
	flags.BoolVar(&v.google, "google", false, "verify dynamic webhooks with Google's key set")
}

// verifier returns the verifier that the flags and the environment describe. Its
// clock is now; nil means the system clock.
func (v *verifierFlags) verifier(e *env, now func() time.Time) (geminihook.Verifier, error) {
	all, err := secrets(v.secretFile, e)
	if err != nil {
		return nil, err
	}
	var verifiers []geminihook.Verifier
	if len(all) > 0 {
		static, err := geminihook.NewHMAC(all...)
		if err != nil {
			return nil, err
		}
		static.Now = now
		verifiers = append(verifiers, static)
	}
	if v.google || v.jwks != "" {
		verifiers = append(verifiers, &geminihook.KeySet{URL: v.jwks, Now: now})
	}
	if len(verifiers) == 0 {
		return nil, &usageError{"nothing to verify with: set GEMINI_WEBHOOK_SECRET, or use -secret-file, -jwks, or -google"}
	}
	return geminihook.AnyOf(verifiers...), nil
}

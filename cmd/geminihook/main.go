// Command geminihook is for the first hour with Gemini webhooks, and for the days
// when something is wrong. It creates webhooks and rotates their secrets, sends
// deliveries, receives and shows them, explains why one does not verify, and checks
// a deployed endpoint.
//
//	geminihook setup -url https://example.com/gemini -env .env
//	geminihook doctor -env .env -endpoint https://example.com/gemini
//	geminihook send -type batch.succeeded http://127.0.0.1:8080/gemini
//	geminihook listen -forward http://127.0.0.1:8080/gemini
//	geminihook verify deliveries/*.http
//	geminihook recorded deliveries
//
// It reads the signing secrets from the environment variable
// GEMINI_WEBHOOK_SECRET or from a file, and the API key from GOOGLE_API_KEY or
// GEMINI_API_KEY, never from the command line. Separate several secrets with
// commas, for example while one is being rotated. "geminihook COMMAND -h" shows
// the flags of a command and examples. The exit status is 0 on success, 1 if a
// delivery or the command failed, and 2 if the command line is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	os.Exit(run(ctx, os.Args[1:], e))
}

func run(ctx context.Context, args []string, e *env) int {
	if len(args) == 0 {
		fmt.Fprint(e.err, usage())
		return exitUsage
	}
	if args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(e.out, usage())
		return exitOK
	}
	c, ok := find(args[0])
	if !ok {
		fmt.Fprintf(e.err, "geminihook: unknown command %q\n\n%s", args[0], usage())
		return exitUsage
	}
	e.examples = c.examples
	err := c.run(ctx, args[1:], e)
	var wrong *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(e.err, "%s(geminihook %s -h shows the flags)\n",
			wrap("geminihook "+args[0]+": "+err.Error(), ""), args[0])
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailed
	}
	fmt.Fprint(e.err, wrap("geminihook "+args[0]+": "+plain(err), ""))
	return exitFailed
}

// usage is the help of the command as a whole.
func usage() string {
	var b strings.Builder
	b.WriteString("geminihook sets up, sends, receives, and verifies Gemini webhooks.\n\n" +
		"usage: geminihook COMMAND [flags] [arguments]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.about)
	}
	b.WriteString(`
Secrets are read from GEMINI_WEBHOOK_SECRET (separated by commas) or from a
file, the API key from GOOGLE_API_KEY or GEMINI_API_KEY, and neither from the
command line. With -json, the output is one JSON object per line.

The exit status is 0 on success, 1 if a delivery or the command failed, and 2 if
the command line is wrong. "geminihook COMMAND -h" shows the flags of a command
and examples.
`)
	return b.String()
}

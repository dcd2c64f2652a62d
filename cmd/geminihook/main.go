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
//
// It reads the signing secrets from the environment variable
// GEMINI_WEBHOOK_SECRET or from a file, and the API key from GOOGLE_API_KEY or
// GEMINI_API_KEY, never from the command line. Separate several secrets with
// commas, for example while one is being rotated. "geminihook COMMAND -h" shows
// the flags of a command and examples. The exit status is 0 on success, 1 if a
// delivery or the command failed, and 2 if the command line is wrong.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// env is the environment of a command.
type env struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], &env{os.Stdin, os.Stdout, os.Stderr, os.Getenv}))
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

// usageError describes what is wrong with the command line.
type usageError struct{ text string }

func (u *usageError) Error() string { return u.text }

// errReported is the error of a command whose output already says what is wrong.
var errReported = errors.New("reported")

// parse parses the flags of a command. With -h it prints the help to standard
// output and returns [flag.ErrHelp].
func parse(flags *flag.FlagSet, args []string, e *env, line, about string) error {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(e.out, "usage: geminihook %s\n", line)
		for paragraph := range strings.SplitSeq(about, "\n\n") {
			if !strings.HasPrefix(paragraph, " ") { // indented lines have a layout
				paragraph = strings.TrimSuffix(wrap(paragraph, ""), "\n")
			}
			fmt.Fprint(e.out, "\n", paragraph, "\n")
		}
		fmt.Fprint(e.out, flagHelp(flags), exampleHelp(flags.Name()))
		return err
	case err != nil:
		return &usageError{err.Error()}
	}
	return nil
}

// flagHelp describes the flags in lines of at most 80 columns.
func flagHelp(flags *flag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			text += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(&b, "%s\n%s", strings.TrimRight("  -"+f.Name+" "+name, " "), wrap(text, "        "))
	})
	if b.Len() == 0 {
		return ""
	}
	return "\nflags:\n" + b.String()
}

// exampleHelp returns the examples of a command.
func exampleHelp(name string) string {
	c, _ := find(name)
	return "\nexamples:\n  " + strings.Join(c.examples, "\n  ") + "\n"
}

// secrets returns the signing secrets from the file or, if file is empty, from
// the environment. There may be none. The file sets GEMINI_WEBHOOK_SECRET, or has
// nothing but secrets in it.
func secrets(file string, e *env) ([]string, error) {
	text, err := secretText(file, e)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, s := range split(text) {
		if s == "export" { // the name and the secret follow, and the error below says so
			continue
		}
		if _, err := geminihook.ParseSecret(s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// secretText is [secrets] before the list is split and its members are checked.
func secretText(file string, e *env) (string, error) {
	if file == "" {
		return e.getenv(secretVariable), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if bytes.Contains(b, []byte(secretVariable)) {
		return envfile.Value(b, secretVariable), nil
	}
	return string(b), nil
}

const secretFileHelp = "read the secrets from `FILE`, such as .env, instead of the environment"

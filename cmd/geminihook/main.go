// Command geminihook helps to develop a receiver of Gemini webhooks without
// Google. It sends deliveries, records them, and explains why a delivery does
// not verify.
//
//	geminihook send -type batch.succeeded http://127.0.0.1:8080/gemini
//	geminihook record -dir deliveries
//	geminihook verify deliveries/*.http
//	geminihook secret
//
// It reads the signing secrets from the environment variable
// GEMINI_WEBHOOK_SECRET or from a file, never from the command line. Separate
// several secrets with commas, for example while one is being rotated.
// "geminihook COMMAND -h" lists the flags of a command. The exit status is 0 on
// success, 1 if a delivery or the command failed, and 2 if the command line is
// wrong.
package main

import (
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
)

const usage = `geminihook sends, records, and verifies Gemini webhooks for local development.

usage: geminihook COMMAND [flags] [arguments]

  send URL       deliver events to a receiver
  record         receive deliveries and write them to files
  verify FILE    report whether a recorded delivery is genuine, and if not, why
  secret         print a fresh signing secret
  version        print the version of this command

Secrets are read from GEMINI_WEBHOOK_SECRET (separated by commas) or from a file.
"geminihook COMMAND -h" lists the flags of a command.
`

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
	commands := map[string]func(context.Context, []string, *env) error{
		"send": send, "record": record, "verify": verify, "secret": secret,
		"version": version,
	}
	if len(args) == 0 {
		fmt.Fprint(e.err, usage)
		return exitUsage
	}
	if args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(e.out, usage)
		return exitOK
	}
	command, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(e.err, "geminihook: unknown command %q\n\n%s", args[0], usage)
		return exitUsage
	}
	err := command(ctx, args[1:], e)
	var wrong *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(e.err, "geminihook %s: %s\n(geminihook %s -h lists the flags)\n", args[0], visible(err.Error()), args[0])
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailed
	}
	fmt.Fprintf(e.err, "geminihook %s: %s\n", args[0], visible(plain(err)))
	return exitFailed
}

// usageError says what is wrong with the command line.
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
		fmt.Fprintf(e.out, "usage: geminihook %s\n\n%s\n\nflags:\n", line, about)
		flags.SetOutput(e.out)
		flags.PrintDefaults()
		return err
	case err != nil:
		return &usageError{err.Error()}
	}
	return nil
}

// secrets returns the signing secrets from the file or, if file is empty, from
// the environment. There may be none.
func secrets(file string, e *env) ([]string, error) {
	text := e.getenv("GEMINI_WEBHOOK_SECRET")
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	var all []string
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		if _, err := geminihook.ParseSecret(s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

const secretFileHelp = "read the secrets from `FILE` instead of GEMINI_WEBHOOK_SECRET"

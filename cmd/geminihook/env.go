package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

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

	examples []string // of the command that runs
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
		fmt.Fprint(e.out, flagHelp(flags),
			"\nexamples:\n  ", strings.Join(e.examples, "\n  "), "\n")
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
	if err := envfile.Check(b); err != nil {
		return "", fmt.Errorf("%s %w", file, err)
	}
	if bytes.Contains(b, []byte(secretVariable)) {
		return envfile.Value(b, secretVariable), nil
	}
	return strings.TrimPrefix(string(b), "\ufeff"), nil
}

const secretFileHelp = "read the secrets from `FILE`, such as .env, instead of the environment"

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

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

// flagsFirst returns an error if a flag follows the arguments, because package flag
// takes it for an argument.
func flagsFirst(args []string) error {
	for _, a := range args {
		if len(a) > 1 && a[0] == '-' {
			return &usageError{fmt.Sprintf("put the flag %s before the arguments", a)}
		}
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

const deleteAbout = `Deletes a static webhook. Google then delivers nothing more to its URL, not even
what it is retrying, and its secrets are gone.`

// runDelete is the command "delete".
func runDelete(ctx context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("delete", flag.ContinueOnError)
	yes := flags.Bool("yes", false, "do not ask")
	asJSON := flags.Bool("json", false, jsonHelp)
	if err := parse(flags, args, e, "delete [-yes] ID", deleteAbout); err != nil {
		return err
	}
	if err := flagsFirst(flags.Args()); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return &usageError{"it takes the ID of a webhook"}
	}
	if *asJSON && !*yes {
		return &usageError{"-json is for scripts, which cannot confirm: add -yes"}
	}
	if !*yes && !interactive(e.in) {
		return &usageError{"standard input is not a terminal, so nobody can confirm: use -yes"}
	}
	client, err := connect(ctx, e)
	if err != nil {
		return err
	}
	w, err := client.Get(ctx, flags.Arg(0))
	if err != nil {
		return err
	}
	if !*yes {
		e.show(w)
		if !confirm(e.in, e.out, "\nDelete it? [y/N] ") {
			fmt.Fprintln(e.err, "Nothing is deleted.")
			return errReported
		}
	}
	if err := client.Delete(ctx, w.ID); err != nil {
		return err
	}
	if *asJSON {
		return e.line(map[string]any{"id": w.ID, "url": w.URL, "deleted": true})
	}
	_, err = fmt.Fprint(e.out, wrap("Deleted "+w.ID+", which delivered to "+w.URL, ""))
	return err
}

// interactive reports whether somebody may sit at r.
func interactive(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && terminal(f)
}

// confirm asks the question and reports whether the response is yes.
func confirm(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprint(out, question)
	text, err := bufio.NewReader(io.LimitReader(in, 100)).ReadString('\n')
	if err != nil {
		fmt.Fprintln(out) // after the end of the input, the cursor is still in the line
	}
	text = strings.ToLower(strings.TrimSpace(text))
	return text == "y" || text == "yes"
}

package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/geminihook/geminihook/webhooktest"
)

func runSecret(_ context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("secret", flag.ContinueOnError)
	const about = "Prints a fresh signing secret: 32 random bytes."
	if err := parse(flags, args, e, "secret", about); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{"it takes no arguments"}
	}
	_, err := fmt.Fprintln(e.out, webhooktest.RandomSecret())
	return err
}

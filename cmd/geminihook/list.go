package main

import (
	"context"
	"flag"
	"fmt"
)

const listAbout = `Lists the static webhooks of the project, with what the API tells of their
secrets: the last four characters and, during a rotation, until when they are
valid.`

func runList(ctx context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("list", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, jsonHelp)
	if err := parse(flags, args, e, "list [-json]", listAbout); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{"it takes no arguments"}
	}
	client, err := connect(ctx, e)
	if err != nil {
		return err
	}
	all, err := client.List(ctx)
	if err != nil {
		return err
	}
	for i, w := range all {
		if *asJSON {
			if err := e.line(newWebhookLine(w)); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(e.out)
		}
		e.show(w)
	}
	if len(all) == 0 && !*asJSON {
		fmt.Fprintln(e.out, "There is no static webhook. To create one: geminihook setup -url URL")
	}
	return nil
}

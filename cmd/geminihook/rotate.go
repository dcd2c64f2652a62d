package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
)

const rotateAbout = `Makes a new secret for a static webhook, named by its ID or with -url. The old one
remains valid for 24 hours, during which Google signs with both: give the
receiver both secrets, the new one first, and the new one alone a day later. The
old one is read from the file of -env, otherwise from GEMINI_WEBHOOK_SECRET.`

// rotateLine is the output for scripts.
type rotateLine struct {
	ID      string    `json:"id"`
	Secret  string    `json:"secret_name"`
	Expires time.Time `json:"previous_secrets_expire"` // about
	place
}

func runRotate(ctx context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("rotate", flag.ContinueOnError)
	uri := flags.String("url", "", "rotate the secret of the webhook that delivers to this `URL`")
	path := flags.String("env", "", envFileHelp)
	asJSON := flags.Bool("json", false, jsonHelp)
	const synopsis = "rotate [flags] ID\n       geminihook rotate [flags] -url URL"
	if err := parse(flags, args, e, synopsis, rotateAbout); err != nil {
		return err
	}
	if err := flagsFirst(flags.Args()); err != nil {
		return err
	}
	if flags.NArg() > 1 || (flags.NArg() == 1) == (*uri != "") {
		return &usageError{"it takes the ID of a webhook or -url"}
	}
	client, err := connect(ctx, e)
	if err != nil {
		return err
	}
	keeper, err := newKeeper(ctx, e, *path)
	if err != nil {
		return err
	}
	defer keeper.close()
	w, err := choose(ctx, client, flags.Arg(0), *uri)
	if err != nil {
		return err
	}
	secret, err := client.Rotate(ctx, w.ID)
	if err != nil {
		if api.Uncertain(err) {
			err = fmt.Errorf("%w: there may be a new secret nonetheless, which nobody has seen: rotate again within 24 hours",
				err)
		}
		return err
	}
	value, written, failed := keeper.keep(secret)
	line := rotateLine{
		ID: w.ID, Secret: secretName(secret),
		Expires: time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second),
	}
	if *asJSON {
		line.place = keeper.place(value, written)
		return keeper.lineError(line.place, e.line(line), failed)
	}
	fmt.Fprintf(e.out, "%s has the new secret %s.\n", visible(w.ID), line.Secret)
	fmt.Fprint(e.out, wrap("The previous ones are valid until about "+until(line.Expires)+". Restart the receiver with the new value "+
		"now, and remove them from it after that time.", ""))
	if !written && len(keeper.old) == 0 {
		fmt.Fprint(e.out, wrap("The previous secret is not known here: keep it behind the new one, separated by a comma.",
			""))
	}
	fmt.Fprintln(e.out)
	return keeper.tell(value, written, failed)
}

// choose returns the webhook with the id or the URL.
func choose(ctx context.Context, client *api.Client, id, uri string) (api.Webhook, error) {
	if id != "" {
		return client.Get(ctx, id)
	}
	all, err := client.List(ctx)
	if err != nil {
		return api.Webhook{}, err
	}
	switch found := withURL(all, uri); len(found) {
	case 1:
		return found[0], nil
	case 0:
		return api.Webhook{}, fmt.Errorf("no webhook delivers to %s: \"geminihook list\" shows the webhooks",
			uri)
	default:
		return api.Webhook{}, fmt.Errorf("%d webhooks deliver to %s: name one by its ID",
			len(found), uri)
	}
}

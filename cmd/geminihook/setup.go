package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
)

const setupAbout = `Creates the static webhook that delivers to the URL, and keeps its secret, which
Google shows only now. With -env, a secret that the file has already stays behind
the new one, because it may belong to another webhook. If there is a webhook with
this URL, nothing is created, and the command says how to go on.`

type setupFlags struct {
	url, events, env, name string
	update, json           bool
}

// setupLine is the output for scripts.
type setupLine struct {
	webhookLine
	Created bool `json:"created"`
	Updated bool `json:"updated"`
	place
}

func runSetup(ctx context.Context, args []string, e *env) error {
	var f setupFlags
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.StringVar(&f.url, "url", "", "the `URL` at which Google reaches the receiver")
	flags.StringVar(&f.events, "events", "", "subscribe to these `TYPES`, separated by commas; by default all")
	flags.StringVar(&f.env, "env", "", envFileHelp)
	flags.StringVar(&f.name, "name", "geminihook", "the `NAME` of the webhook, for people")
	flags.BoolVar(&f.update, "update", false, "enable a webhook that exists, and subscribe it to -events")
	flags.BoolVar(&f.json, "json", false, jsonHelp)
	if err := parse(flags, args, e, "setup [flags] -url URL", setupAbout); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{"it takes no arguments: the URL belongs after -url"}
	}
	if f.url == "" {
		return &usageError{"it needs -url"}
	}
	if err := api.CheckURL(f.url); err != nil {
		return &usageError{err.Error()}
	}
	events, err := eventList(f.events)
	if err != nil {
		return err
	}
	client, err := connect(ctx, e)
	if err != nil {
		return err
	}
	keeper, err := newKeeper(ctx, e, f.env)
	if err != nil {
		return err
	}
	defer keeper.close()
	all, err := client.List(ctx)
	if err != nil {
		return err
	}
	if found := withURL(all, f.url); len(found) > 0 {
		return f.existing(ctx, e, client, keeper, found, events)
	}
	w, secret, err := client.Create(ctx, f.name, f.url, events)
	if err != nil {
		if api.Uncertain(err) {
			err = fmt.Errorf("%w: it may have been created nonetheless: see \"geminihook list\"",
				err)
		}
		return err
	}
	value, written, err := keeper.keep(secret)
	if f.json {
		line := setupLine{
			webhookLine: newWebhookLine(w), Created: true, place: keeper.place(value, written),
		}
		return keeper.lineError(line.place, e.line(line), err)
	}
	fmt.Fprint(e.out, "Created a webhook:\n\n")
	e.show(w)
	fmt.Fprintln(e.out)
	return keeper.tell(value, written, err)
}

// eventList reads the list of types. Google refuses unknown ones itself.
func eventList(text string) ([]string, error) {
	if text == "" {
		return api.Events(), nil
	}
	var events []string
	for _, t := range strings.Split(text, ",") {
		t = strings.TrimSpace(t)
		switch {
		case t == "":
			return nil, &usageError{"-events has an empty type"}
		case strings.HasSuffix(t, ".cancelled"):
			return nil, &usageError{"Google refuses the subscription to " + t + ", although its page lists it"}
		}
		events = append(events, t)
	}
	return events, nil
}

// existing handles that there is a webhook with the URL. It is a failure if no
// configured secret is its, because the receiver would refuse every delivery.
func (f *setupFlags) existing(ctx context.Context, e *env, client *api.Client, k *keeper,
	found []api.Webhook, events []string,
) error {
	w := found[0]
	if f.update {
		if f.events == "" { // enable it, and leave its events as they are
			events = w.Events
		}
		var err error
		if w, err = client.Update(ctx, w.ID, events); err != nil {
			return err
		}
	}
	known := false
	for _, s := range w.Secrets {
		known = known || k.knows(s.Name)
	}
	if f.json {
		if err := e.line(setupLine{webhookLine: newWebhookLine(w), Updated: f.update}); err != nil {
			return err
		}
	} else {
		what := "There is a webhook with this URL:"
		if f.update {
			what = "Updated the webhook with this URL:"
		}
		fmt.Fprint(e.out, what+"\n\n")
		e.show(w)
		fmt.Fprintln(e.out)
		f.advise(e, w, known, events)
	}
	if len(found) > 1 {
		text := fmt.Sprintf("%d webhooks have this URL, so each event comes %d times: delete all but one.",
			len(found), len(found))
		fmt.Fprint(e.err, wrap(text, ""))
	}
	if !known {
		fmt.Fprintf(e.err, "Its secret is unknown here, and Google does not show it again. For a new one:\n\n  %s\n",
			visible(f.rotation(w)))
		return errReported
	}
	return nil
}

// advise says how the webhook differs from what was asked for.
func (f *setupFlags) advise(e *env, w api.Webhook, known bool, events []string) {
	if known {
		fmt.Fprint(e.out, "A secret of this name is configured.\n")
	}
	lacks := slices.ContainsFunc(events, func(t string) bool {
		return !slices.Contains(w.Events, t)
	})
	if !w.Enabled() || (f.events != "" && lacks) {
		fmt.Fprint(e.out, wrap("To enable it with the events of -events, add -update.", ""))
	}
}

// rotation returns the command that makes a new secret for the webhook.
func (f *setupFlags) rotation(w api.Webhook) string {
	if f.env == "" {
		return doctor.Shell("geminihook", "rotate", w.ID)
	}
	return doctor.Shell("geminihook", "rotate", "-env", f.env, w.ID)
}

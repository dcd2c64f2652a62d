package main

import (
	"context"
	"fmt"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
)

// temporaryName is the name of a webhook that exists as long as "listen -setup" runs.
const temporaryName = "geminihook listen, temporary"

// temporary is a webhook for the time of a command.
type temporary struct {
	env    *env
	client *api.Client
	id     string
}

// newTemporary creates the webhook and returns its secret, which nobody is shown. One
// that an earlier command has left behind with this URL makes room; any other is the
// user's, and with a second one each event would come twice.
func newTemporary(ctx context.Context, e *env, uri string) (*temporary, string, error) {
	client, err := connect(ctx, e)
	if err != nil {
		return nil, "", err
	}
	all, err := client.List(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, w := range withURL(all, uri) {
		if w.Name != temporaryName {
			return nil, "", fmt.Errorf("the webhook %s has this URL already: listen with its secret instead, without -setup, or delete it: \"geminihook delete %s\"",
				w.ID, w.ID)
		}
		if err := client.Delete(ctx, w.ID); err != nil {
			return nil, "", err
		}
	}
	w, secret, err := client.Create(ctx, temporaryName, uri, api.Events())
	if err != nil {
		if api.Uncertain(err) {
			err = fmt.Errorf("%w: it may have been created nonetheless: see \"geminihook list\"",
				err)
		}
		return nil, "", err
	}
	return &temporary{env: e, client: client, id: w.ID}, secret, nil
}

// end deletes the webhook, also after an interrupt.
func (t *temporary) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := t.client.Delete(ctx, t.id); err != nil {
		return fmt.Errorf("the temporary webhook remains, so delete it with \"geminihook delete %s\": %w",
			t.id, err)
	}
	fmt.Fprint(t.env.err, wrap("Deleted the temporary webhook "+t.id+".", ""))
	return nil
}

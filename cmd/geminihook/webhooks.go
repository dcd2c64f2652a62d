package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
)

// connect returns a client of the API.
func connect(ctx context.Context, e *env) (*api.Client, error) {
	client, err := api.New(ctx, e.getenv)
	if errors.Is(err, api.ErrNoKey) {
		return nil, &usageError{err.Error()}
	}
	return client, err
}

// withURL returns the webhooks that deliver to the URL.
func withURL(all []api.Webhook, uri string) (found []api.Webhook) {
	for _, w := range all {
		if api.SameURL(w.URL, uri) {
			found = append(found, w)
		}
	}
	return found
}

// webhookLine is a webhook in the output for scripts.
type webhookLine struct {
	ID      string       `json:"id"`
	Name    string       `json:"name,omitempty"`
	URL     string       `json:"url"`
	State   string       `json:"state"`
	Events  []string     `json:"events"`
	Secrets []secretLine `json:"secrets"`
}

// secretLine is what the API tells about a secret.
type secretLine struct {
	Name    string     `json:"name"`
	Expires *time.Time `json:"expires,omitempty"`
}

func newWebhookLine(w api.Webhook) webhookLine {
	line := webhookLine{
		ID: w.ID, Name: w.Name, URL: w.URL, State: w.State, Events: w.Events,
		Secrets: []secretLine{},
	}
	for _, s := range w.Secrets {
		one := secretLine{Name: s.Name}
		if !s.Expires.IsZero() {
			one.Expires = &s.Expires
		}
		line.Secrets = append(line.Secrets, one)
	}
	return line
}

// show describes a webhook in lines of at most 80 columns, as far as its URL fits.
func (e *env) show(w api.Webhook) {
	color := red
	if w.Enabled() {
		color = green
	}
	fmt.Fprintf(e.out, "%s  %s\n", visible(w.ID), e.paint(color, visible(w.State)))
	if w.Name != "" {
		fmt.Fprintf(e.out, "  %s\n", visible(w.Name))
	}
	fmt.Fprintf(e.out, "  %s\n%s", visible(w.URL), wrap("events: "+strings.Join(w.Events, ", "), "  "))
	var all []string
	for _, s := range w.Secrets {
		text := s.Name
		if !s.Expires.IsZero() {
			text += " until " + until(s.Expires)
		}
		all = append(all, text)
	}
	if len(all) > 0 {
		fmt.Fprint(e.out, wrap("secrets: "+strings.Join(all, ", "), "  "))
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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
		if sameURL(w.URL, uri) {
			found = append(found, w)
		}
	}
	return found
}

// sameURL compares URLs as a server sees them: upper and lower case are the same
// in the scheme and the host.
func sameURL(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	if err1 != nil || err2 != nil {
		return a == b
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	v.Scheme, v.Host = strings.ToLower(v.Scheme), strings.ToLower(v.Host)
	return u.String() == v.String()
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
	line := webhookLine{ID: w.ID, Name: w.Name, URL: w.URL, State: w.State, Events: w.Events, Secrets: []secretLine{}}
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

// until formats a point in time.
func until(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// publicURL returns an error if Google cannot deliver to the URL.
func publicURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https":
		return errors.New("the URL must begin with https://: Google delivers to nothing else")
	case u.User != nil:
		return errors.New("the URL must not have a password in it: every delivery is signed")
	case u.Fragment != "":
		return errors.New("the URL must not have a fragment (#), which is never sent")
	case api.Loopback(u.Hostname()):
		return errors.New("Google cannot reach this machine by a loopback address: use the URL of a tunnel")
	}
	return nil
}

// flagsFirst returns an error if there is a flag behind the arguments, which
// package flag takes for an argument.
func flagsFirst(args []string) error {
	for _, a := range args {
		if len(a) > 1 && a[0] == '-' {
			return &usageError{fmt.Sprintf("put the flag %s before the arguments", a)}
		}
	}
	return nil
}

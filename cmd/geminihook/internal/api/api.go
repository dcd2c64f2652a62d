// Package api manages static webhooks through the official SDK of the Gemini API.
package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/operations"
	"google.golang.org/genai/interactions/models/webhooks"
	"google.golang.org/genai/interactions/retry"
)

// DefaultURL is the address of the API.
const DefaultURL = "https://generativelanguage.googleapis.com/"

// ErrNoKey means that the environment has no API key.
var ErrNoKey = errors.New("no API key: set GEMINI_API_KEY (https://aistudio.google.com/apikey)")

const timeout = 30 * time.Second // for one call

// Webhook is a static webhook as the API describes it.
type Webhook struct {
	ID, Name, URL, State string
	Events               []string
	Secrets              []Secret
}

// Enabled reports whether Google delivers to the webhook.
func (w *Webhook) Enabled() bool { return w.State == string(webhooks.WebhookStateEnabled) }

// Secret describes a signing secret, which the API never shows again.
type Secret struct {
	Name    string    // "whsec_..." and the last four characters
	Expires time.Time // zero unless it is being rotated out
}

// Events lists the types that a static webhook can subscribe to.
func Events() []string {
	return []string{
		string(webhooks.WebhookSubscribedEventBatchSucceeded),
		string(webhooks.WebhookSubscribedEventBatchFailed),
		string(webhooks.WebhookSubscribedEventBatchExpired),
		string(webhooks.WebhookSubscribedEventInteractionRequiresAction),
		string(webhooks.WebhookSubscribedEventInteractionCompleted),
		string(webhooks.WebhookSubscribedEventInteractionFailed),
		string(webhooks.WebhookSubscribedEventVideoGenerated),
	}
}

// Client calls the API.
type Client struct {
	URL string // of the API

	key    string
	sdk    *genai.Client
	record *recorder
}

// New returns a client with the API key from GOOGLE_API_KEY or GEMINI_API_KEY, in
// the order in which the SDK looks for it. GOOGLE_GEMINI_BASE_URL replaces the
// address of the API, and must be https except for loopback addresses. Without a
// key, the error is [ErrNoKey].
func New(ctx context.Context, getenv func(string) string) (*Client, error) {
	key := strings.TrimSpace(getenv("GOOGLE_API_KEY"))
	if key == "" {
		key = strings.TrimSpace(getenv("GEMINI_API_KEY"))
	}
	if key == "" {
		return nil, ErrNoKey
	}
	base := getenv("GOOGLE_GEMINI_BASE_URL")
	if base == "" {
		base = DefaultURL
	}
	if !Private(base) {
		return nil, errors.New("GOOGLE_GEMINI_BASE_URL must be an https URL: the API key would be sent in the clear")
	}
	record := &recorder{}
	sdk, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend:     genai.BackendGeminiAPI,
		APIKey:      key,
		HTTPOptions: genai.HTTPOptions{BaseURL: base},
		HTTPClient:  &http.Client{Transport: record},
	})
	if err != nil {
		return nil, errors.New("the SDK refuses its configuration") // its error has the key in it
	}
	return &Client{URL: base, key: key, sdk: sdk, record: record}, nil
}

// Skew returns how far this machine's clock is ahead of the API's, as far as the
// Date header of the last response tells, which has whole seconds. It returns
// false if there has been no response with a Date.
func (c *Client) Skew() (time.Duration, bool) { return c.record.skew() }

// once makes the SDK report a failure at once. It would otherwise repeat a
// creation or a rotation whose response got lost, and the first secret with it.
var once = operations.WithRetries(retry.Config{Strategy: "none"})

// List returns all static webhooks of the project.
func (c *Client) List(ctx context.Context) (all []Webhook, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	const pages = 20 // of 50 webhooks, or of as many as Google likes
	var token *string
	for range pages {
		response, err := c.sdk.Webhooks.List(ctx, operations.ListWebhooksRequest{PageToken: token},
			once)
		if err != nil {
			return nil, c.explain("listing the webhooks", err)
		}
		page := response.GetWebhookListResponse()
		for _, w := range page.GetWebhooks() {
			all = append(all, webhook(&w))
		}
		token = page.GetNextPageToken()
		if token == nil || *token == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the list of webhooks has more than %d pages", pages)
}

// Get returns the webhook.
func (c *Client) Get(ctx context.Context, id string) (Webhook, error) {
	if err := checkID(id); err != nil {
		return Webhook{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	response, err := c.sdk.Webhooks.Get(ctx, operations.GetWebhookRequest{ID: id}, once)
	if err != nil {
		return Webhook{}, c.explain("looking up the webhook", err)
	}
	return webhook(response.GetWebhook()), nil
}

// Create creates a webhook and returns it with its secret, which the API never
// shows again.
func (c *Client) Create(
	ctx context.Context, name, uri string, events []string,
) (Webhook, string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	in := webhooks.WebhookInput{Name: &name, URI: uri}
	for _, e := range events {
		in.SubscribedEvents = append(in.SubscribedEvents, webhooks.WebhookSubscribedEvent(e))
	}
	response, err := c.sdk.Webhooks.Create(ctx, operations.CreateWebhookRequest{Body: in}, once)
	if err != nil {
		return Webhook{}, "", c.explain("creating the webhook", err)
	}
	w := webhook(response.GetWebhook())
	secret := response.GetWebhook().GetNewSigningSecret()
	if w.ID == "" || secret == nil || *secret == "" {
		return w, "", errors.New("creating the webhook: the response has no id or no secret: list the webhooks, and rotate the secret")
	}
	return w, *secret, nil
}

// Update enables the webhook and subscribes it to the events.
func (c *Client) Update(ctx context.Context, id string, events []string) (Webhook, error) {
	if err := checkID(id); err != nil {
		return Webhook{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	in := webhooks.WebhookUpdate{State: webhooks.WebhookUpdateStateEnabled.ToPointer()}
	for _, e := range events {
		in.SubscribedEvents = append(in.SubscribedEvents, webhooks.WebhookUpdateSubscribedEvent(e))
	}
	mask := "state,subscribed_events"
	response, err := c.sdk.Webhooks.Update(ctx,
		operations.UpdateWebhookRequest{ID: id, UpdateMask: &mask, Body: in}, once)
	if err != nil {
		return Webhook{}, c.explain("updating the webhook", err)
	}
	return webhook(response.GetWebhook()), nil
}

// Rotate makes a new secret and returns it. The previous ones remain valid for 24
// hours.
func (c *Client) Rotate(ctx context.Context, id string) (string, error) {
	if err := checkID(id); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	revocation := webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24
	response, err := c.sdk.Webhooks.RotateSigningSecret(ctx, operations.RotateSigningSecretRequest{
		ID:   id,
		Body: webhooks.RotateSigningSecretRequest{RevocationBehavior: &revocation},
	}, once)
	if err != nil {
		return "", c.explain("rotating the secret", err)
	}
	secret := response.GetWebhookRotateSigningSecretResponse().GetSecret()
	if secret == nil || *secret == "" {
		return "", errors.New("rotating the secret: the response has no secret: rotate it again")
	}
	return *secret, nil
}

// Delete deletes the webhook.
func (c *Client) Delete(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := c.sdk.Webhooks.Delete(ctx, operations.DeleteWebhookRequest{ID: id}, once)
	if err != nil {
		return c.explain("deleting the webhook", err)
	}
	return nil
}

var ids = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~-]{0,255}$`)

// checkID refuses what would become another path in the URL of the request.
func checkID(id string) error {
	if !ids.MatchString(id) {
		return fmt.Errorf("%q is not the id of a webhook: \"geminihook list\" shows the ids", id)
	}
	return nil
}

func webhook(w *webhooks.Webhook) Webhook {
	if w == nil {
		return Webhook{}
	}
	out := Webhook{ID: value(w.ID), Name: value(w.Name), URL: w.URI, State: string(value(w.State))}
	for _, e := range w.SubscribedEvents {
		out.Events = append(out.Events, string(e))
	}
	for _, s := range w.SigningSecrets {
		out.Secrets = append(out.Secrets, Secret{
			Name: value(s.TruncatedSecret), Expires: value(s.ExpireTime),
		})
	}
	slices.SortStableFunc(out.Secrets, func(a, b Secret) int { return newest(a, b) })
	return out
}

// newest orders the secret that does not expire first, then the ones that expire
// last.
func newest(a, b Secret) int {
	switch {
	case a.Expires.IsZero() && b.Expires.IsZero():
		return 0
	case a.Expires.IsZero():
		return -1
	case b.Expires.IsZero():
		return 1
	}
	return b.Expires.Compare(a.Expires)
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

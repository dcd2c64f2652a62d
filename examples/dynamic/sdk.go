package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/geminihook/geminihook"
	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/operations"
	"google.golang.org/genai/interactions/models/webhooks"
)

const model = "gemini-2.5-flash"

// register registers a static webhook. The response is the only place that ever
// shows its secret.
func (p *program) register(ctx context.Context) (id string, err error) {
	input := webhooks.WebhookInput{
		Name: genai.Ptr("geminihook example"),
		URI:  p.url + "/gemini",
		SubscribedEvents: []webhooks.WebhookSubscribedEvent{
			webhooks.WebhookSubscribedEventBatchSucceeded,
			webhooks.WebhookSubscribedEventBatchFailed,
		},
	}
	response, err := p.client.Webhooks.Create(ctx, operations.CreateWebhookRequest{Body: input})
	if err != nil {
		return "", fmt.Errorf("Webhooks.Create: %w", err)
	}
	created := response.Webhook
	if created == nil || created.ID == nil || created.NewSigningSecret == nil {
		return "", errors.New("Webhooks.Create: the response has no id or no secret")
	}
	verifier, err := geminihook.NewHMAC(*created.NewSigningSecret)
	if err != nil {
		return "", err
	}
	p.receiver.static.use(verifier)
	fmt.Fprintf(p.out, "static webhook registered, secret %v\n", verifier.Secrets[0])
	return *created.ID, nil
}

// ping asks Google for a test delivery and waits for it.
func (p *program) ping(ctx context.Context, id string) error {
	if _, err := p.client.Webhooks.Ping(ctx, operations.PingWebhookRequest{ID: id}); err != nil {
		return fmt.Errorf("Webhooks.Ping: %w", err)
	}
	fmt.Fprintln(p.out, "static webhook pinged")
	_, err := p.next(ctx)
	return err
}

// rotate rotates the secret, keeps the old one valid for another day, and gives
// both to the endpoint without a restart.
func (p *program) rotate(ctx context.Context, id string) error {
	revocation := webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24
	request := operations.RotateSigningSecretRequest{
		ID:   id,
		Body: webhooks.RotateSigningSecretRequest{RevocationBehavior: &revocation},
	}
	response, err := p.client.Webhooks.RotateSigningSecret(ctx, request)
	if err != nil {
		return fmt.Errorf("Webhooks.RotateSigningSecret: %w", err)
	}
	rotated := response.WebhookRotateSigningSecretResponse
	if rotated == nil || rotated.Secret == nil {
		return errors.New("Webhooks.RotateSigningSecret: the response has no secret")
	}
	fresh, err := geminihook.ParseSecret(*rotated.Secret)
	if err != nil {
		return err
	}
	old := p.receiver.static.current.Load().Secrets[0]
	p.receiver.static.use(&geminihook.HMAC{Secrets: []geminihook.Secret{fresh, old}})
	fmt.Fprintf(p.out, "secret rotated, both are valid for 24 hours: %v and %v\n", fresh, old)
	return nil
}

// batch creates a batch with a dynamic webhook that is bound to a label, and waits
// for its event.
func (p *program) batch(ctx context.Context, label string) error {
	metadata, err := p.binding.Metadata(label)
	if err != nil {
		return err
	}
	question := &genai.InlinedRequest{Contents: genai.Text("Why is the sky blue?")}
	source := &genai.BatchJobSource{InlinedRequests: []*genai.InlinedRequest{question}}
	webhook := &genai.WebhookConfig{Uris: []string{p.url + "/gemini"}, UserMetadata: metadata}
	config := &genai.CreateBatchJobConfig{WebhookConfig: webhook}
	job, err := p.client.Batches.Create(ctx, model, source, config)
	if err != nil {
		return fmt.Errorf("Batches.Create: %w", err)
	}
	fmt.Fprintf(p.out, "%s created with a dynamic webhook\n", job.Name)
	ev, err := p.next(ctx)
	if err != nil {
		return err
	}
	got, ok := p.binding.Label(ev)
	if !ok || got != label {
		return fmt.Errorf("the event is bound to %q", got)
	}
	fmt.Fprintf(p.out, "  it is ours: %s, %+v\n", got, ev.Data)
	return nil
}

// remove deletes the static webhook.
func (p *program) remove(ctx context.Context, id string) error {
	_, err := p.client.Webhooks.Delete(ctx, operations.DeleteWebhookRequest{ID: id})
	if err != nil {
		return fmt.Errorf("Webhooks.Delete: %w", err)
	}
	fmt.Fprintln(p.out, "static webhook deleted")
	return nil
}

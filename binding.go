package geminihook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// BindingKey is the name of a Binding's token in user_metadata.
const BindingKey = "geminihook_binding"

// Binding tells events about the program's own jobs from others. A dynamic
// webhook's signature proves only that the delivery is from Google: anyone with
// an API key can name any URL in the webhook_config of a job of their own. So
// the program puts a token that only it can make into the job's user_metadata
//
//	metadata, err := binding.Metadata("order-1042")
//
// and the endpoint takes no event without one:
//
//	endpoint.Authorize = binding.Authorize
//
// The token is an HMAC-SHA256 of the label. It is in every event of the job and
// nowhere else, but it does not name the job: choose a label that does, and
// compare it with Label where one job must not pass for another.
//
// A Binding without Secrets makes no token and refuses every dynamic event. Do
// not change it while it is in use.
type Binding struct {
	// Secrets are the program's own, not those of its webhooks. The first
	// makes tokens; any may have made the token of an event: put a new one in
	// front and keep the old one until its jobs have ended.
	Secrets []Secret
	// Static asks for a token in static events, too, whose signature ("v1")
	// proves by itself that they are about the program's own project.
	Static bool
}

// NewBinding makes a Binding of secrets that ParseSecret reads. It fails if
// there are none and if one is refused.
func NewBinding(secrets ...string) (*Binding, error) {
	h, err := NewHMAC(secrets...)
	if err != nil {
		return nil, err
	}
	return &Binding{Secrets: h.Secrets}, nil
}

// Metadata returns a user_metadata with the token for a label; add the
// program's own names to it. A label is any text, but as everything in
// user_metadata Google sees it.
func (b *Binding) Metadata(label string) (map[string]any, error) {
	token, err := b.Token(label)
	if err != nil {
		return nil, err
	}
	return map[string]any{BindingKey: token}, nil
}

// Token returns the token for a label, of the characters A-Z, a-z, 0-9, '-',
// '_' and '.', so that it also fits into the path of a webhook's URL: see
// Check.
func (b *Binding) Token(label string) (string, error) {
	if len(b.Secrets) == 0 || b.Secrets[0].s == nil {
		return "", errors.New("geminihook: Binding has no secret to make a token with")
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(label)) + "." + enc.EncodeToString(b.Secrets[0].s.bind(label)), nil
}

// Check returns the label of a genuine token. ok is false for any other text.
func (b *Binding) Check(token string) (label string, ok bool) {
	text, mac, found := strings.Cut(token, ".")
	enc := base64.RawURLEncoding.Strict()
	decoded, err := enc.DecodeString(text)
	given, err2 := enc.DecodeString(mac)
	if !found || err != nil || err2 != nil {
		return "", false
	}
	label = string(decoded)
	for _, s := range b.Secrets {
		if s.s != nil && hmac.Equal(given, s.s.bind(label)) {
			return label, true
		}
	}
	return "", false
}

// bind is domain-separated from webhook signatures by the space: a webhook-id
// has none.
func (s *secret) bind(label string) []byte {
	h := hmac.New(sha256.New, s.key)
	_, _ = h.Write([]byte("geminihook binding\n" + label))
	return h.Sum(nil)
}

// Label returns the label of the genuine token in the event's user_metadata. ok
// is false if it has none.
func (b *Binding) Label(ev *Event) (label string, ok bool) {
	token, ok := ev.UserMetadata[BindingKey].(string)
	if !ok {
		return "", false
	}
	return b.Check(token)
}

// Authorize accepts an event with a genuine token, and a static event without
// one unless Static is set. It fits Endpoint.Authorize.
func (b *Binding) Authorize(_ context.Context, ev *Event) error {
	if ev.Proof.Scheme == SchemeHMAC && !b.Static {
		return nil
	}
	if _, ok := b.Label(ev); ok {
		return nil
	}
	if _, present := ev.UserMetadata[BindingKey]; present {
		return fmt.Errorf("its user_metadata has a %s of another program, or of a secret that is no longer listed", BindingKey)
	}
	return fmt.Errorf("its user_metadata has no %s: somebody else's job, or one that was created without Binding.Metadata", BindingKey)
}

package geminihook

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// BindingKey is the name of a [Binding]'s token in user_metadata.
const BindingKey = "geminihook_binding"

// Binding tells events about the program's own jobs from events about other
// people's. The signature of a dynamic webhook proves only that the delivery
// comes from Google: anyone with an API key can put any URL into the
// webhook_config of their own jobs. So the program puts a token that only it can
// make into the user_metadata of each job:
//
//	metadata, err := binding.Metadata("order-1042")
//
// The endpoint then accepts no dynamic event without such a token:
//
//	endpoint.Authorize = binding.Authorize
//
// A token consists of a label, the time it was made, and an HMAC-SHA256 of both.
// It does not name the job: whoever learns a token, for example a reader of your
// job list, can put it into other jobs, whose events then pass Authorize for as
// long as MaxAge allows. If that matters, choose a label that names one job and
// have the program's function compare [Binding.Label] and [Event.JobID] with its
// record of the job.
//
// A Binding without Secrets makes no tokens and refuses every dynamic event. Do
// not change it while it is in use.
type Binding struct {
	// Secrets are the program's own, not those of its webhooks. The first
	// makes tokens, and any may have made the token of an event: put a new one
	// in front, and keep the old one until its jobs have ended and Google no
	// longer retries their events.
	Secrets []Secret
	// RequireStatic requires a token in static events, too. Their signature ("v1")
	// already proves that they are about the program's own project.
	RequireStatic bool
	// MaxAge is how long a token is accepted after it was made. It must exceed
	// the time that a job takes, plus the 24 hours in which Google retries. Zero
	// means no limit.
	MaxAge time.Duration
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// NewBinding makes a Binding from secrets that [ParseSecrets] reads: each argument
// is a secret or a list of secrets, the newest first. It fails if there is no
// argument, if one is empty, or if a secret is refused.
func NewBinding(secrets ...string) (*Binding, error) {
	parsed, err := parseSecrets(secrets)
	if err != nil {
		return nil, err
	}
	return &Binding{Secrets: parsed}, nil
}

// Metadata returns a user_metadata with the token for a label. The program may
// add other entries. A label is any text. Google sees it, like everything in
// user_metadata. Metadata fails if the Binding has no secret.
func (b *Binding) Metadata(label string) (map[string]any, error) {
	token, err := b.Token(label)
	if err != nil {
		return nil, err
	}
	return map[string]any{BindingKey: token}, nil
}

// Token returns the token for a label. A token consists of the characters A-Z,
// a-z, 0-9, '-', '_' and '.', so that it also fits into the path of a webhook's
// URL: see [Binding.Check]. Token fails if the Binding has no secret.
func (b *Binding) Token(label string) (string, error) {
	if b == nil || len(b.Secrets) == 0 || b.Secrets[0].inner == nil {
		return "", errors.New("geminihook: Binding has no secret to make a token with")
	}
	return b.Secrets[0].inner.token(label, clock(b.Now).Unix()), nil
}

// token returns "<label>.<time>.<MAC>", with label and MAC in base64url and the time
// in Unix seconds. The MAC is never the signature of a delivery, even with the same
// secret: what it signs begins with a text that has a space, and no webhook-id has one.
func (s *secret) token(label string, at int64) string {
	m := s.macs.Get().(*mac)
	defer s.macs.Put(m)
	m.hash.Reset()
	// A hash never returns an error.
	_, _ = fmt.Fprintf(m.hash, "geminihook binding\n%d\n%s", at, label)
	encodedLabel := base64.RawURLEncoding.EncodeToString([]byte(label))
	encodedMAC := base64.RawURLEncoding.EncodeToString(m.hash.Sum(nil))
	return fmt.Sprintf("%s.%d.%s", encodedLabel, at, encodedMAC)
}

// Check returns the label of a genuine token that is not older than MaxAge. For
// any other text, ok is false.
func (b *Binding) Check(token string) (label string, ok bool) {
	if b == nil {
		return "", false
	}
	encoded, rest, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	seconds, _, _ := strings.Cut(rest, ".")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return "", false
	}
	age := clock(b.Now).Sub(time.Unix(at, 0))
	if b.MaxAge != 0 && age > b.MaxAge {
		return "", false
	}
	for _, secret := range b.Secrets {
		if secret.inner == nil {
			continue
		}
		genuine := secret.inner.token(string(text), at)
		// Compare all of the token, so that it has only one spelling.
		if hmac.Equal([]byte(token), []byte(genuine)) {
			return string(text), true
		}
	}
	return "", false
}

// Label returns the label of the genuine token in the event's user_metadata. If
// there is none, ok is false.
func (b *Binding) Label(ev *Event) (label string, ok bool) {
	token, _ := ev.UserMetadata[BindingKey].(string)
	return b.Check(token)
}

// Authorize accepts an event with a genuine token, and a static event without
// one unless RequireStatic is set. Otherwise its error wraps [ErrForbidden] and says
// why. Use it as [Endpoint.Authorize].
func (b *Binding) Authorize(_ context.Context, ev *Event) error {
	requireStatic := b != nil && b.RequireStatic
	if ev.Proof.Scheme == SchemeHMAC && !requireStatic {
		return nil
	}
	if _, ok := b.Label(ev); ok {
		return nil
	}
	if _, present := ev.UserMetadata[BindingKey]; present {
		return withReason(ErrForbidden, "the "+BindingKey+" in the event's user_metadata was made "+
			"by another program or with a secret that is not in Binding.Secrets, "+
			"or is older than Binding.MaxAge")
	}
	return withReason(ErrForbidden, "the event's user_metadata has no "+BindingKey+": "+
		"it is somebody else's job, or one that was created without Binding.Metadata")
}

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

// cause finds out why the endpoint refuses a genuine delivery: it delivers others, and
// the first that is accepted tells. It returns what to do.
func (e *Endpoint) cause(ctx context.Context, refused response) string {
	for _, find := range []func(context.Context, response) string{
		e.otherSecret, e.otherTime, e.otherForm, e.otherRefusal,
	} {
		if text := find(ctx, refused); text != "" {
			return text
		}
	}
	return "Deploy this secret, " + name(e.Secrets[0]) + ": the endpoint responds to a forged delivery alike, and also refuses deliveries " +
		"that were signed seven minutes earlier or later, and bodies as JSON encoders write them. If the program has the " +
		"secret, something on the way changes the body, or splits the headers at their commas."
}

// otherSecret delivers with the other secrets.
func (e *Endpoint) otherSecret(ctx context.Context, _ response) string {
	for _, secret := range e.Secrets[1:] {
		if e.accepts(ctx, webhooktest.New(EventType, webhooktest.Static(secret))) {
			return fmt.Sprintf("It has the secret %s, but not yet the first one that is configured here, %s: deploy that, too.",
				name(secret), name(e.Secrets[0]))
		}
	}
	return ""
}

// otherTime delivers with other timestamps, and so looks at the endpoint's clock.
func (e *Endpoint) otherTime(ctx context.Context, refused response) string {
	const apart = 7 * time.Minute // the tolerance is five minutes
	if away, ok := clockOf(refused); ok && e.accepts(ctx, e.deliveryAt(away)) {
		return clockText(away, fmt.Sprintf("about %v", away.Abs().Round(time.Minute)))
	}
	for _, away := range []time.Duration{-apart, apart} {
		if e.accepts(ctx, e.deliveryAt(away)) {
			return clockText(away, "2 to 12 minutes")
		}
	}
	return ""
}

// clockOf returns how far the endpoint's clock is ahead of this one, as far as the
// response has a Date, which is that of a proxy if there is one. It returns false if
// the clock is not off by more than the tolerance.
func clockOf(r response) (time.Duration, bool) {
	at, err := http.ParseTime(r.header.Get("Date"))
	if err != nil {
		return 0, false
	}
	away := time.Until(at)
	return away, away.Abs() > tolerance
}

func clockText(away time.Duration, amount string) string {
	direction := "ahead"
	if away < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("Its clock is %s by %s: a delivery that was signed at the time of that clock is accepted. Synchronize the clock of the machine.",
		direction, amount)
}

// otherForm delivers bodies in the forms in which JSON encoders write them, with the
// keys sorted. An endpoint that encodes the body again before it verifies it accepts
// one of them, and others only by chance.
func (e *Endpoint) otherForm(ctx context.Context, _ response) string {
	compact := fmt.Appendf(nil, `{"data":{"id":"doctor"},"timestamp":%q,"type":%q,"version":"v1"}`,
		time.Now().UTC().Format(time.RFC3339), EventType)
	var spaced, indented bytes.Buffer
	fmt.Fprintf(&spaced, `{"data": {"id": "doctor"}, "timestamp": %q, "type": %q, "version": "v1"}`,
		time.Now().UTC().Format(time.RFC3339), EventType)
	_ = json.Indent(&indented, compact, "", "  ") // compact is JSON
	for _, form := range []struct {
		name string
		body []byte
	}{
		{"without white space", compact},
		{"with a newline at the end", append(bytes.Clone(compact), '\n')},
		{"with a space after each comma and colon", spaced.Bytes()},
		{"indented by two spaces", indented.Bytes()},
	} {
		if e.accepts(ctx, webhooktest.NewBody(form.body, e.signer())) {
			return fmt.Sprintf("It verifies JSON that it has encoded again, with its keys sorted and %s, and so refuses what Google's encoder writes: verify the bytes that arrived.",
				form.name)
		}
	}
	return ""
}

// otherRefusal delivers forged events. An endpoint that responds to them in another
// way, but to all of them in the same, has verified the genuine one.
func (e *Endpoint) otherRefusal(ctx context.Context, refused response) string {
	const check = "forged signature"
	first := e.send(ctx, check, e.delivery().WrongSecret())
	second := e.send(ctx, check, e.delivery().WrongSecret())
	alike := first.status == second.status && first.text == second.text
	if first.err != nil || !alike || first.acknowledged() {
		return ""
	}
	if first.status == refused.status && first.text == refused.text {
		return ""
	}
	return "It responds to a forged delivery in another way, so it has verified this one, and refuses the type or the body: " +
		"ignore types that are not known, because Google may add some."
}

// accepts reports whether the endpoint acknowledges the delivery.
func (e *Endpoint) accepts(ctx context.Context, d *webhooktest.Delivery) bool {
	return e.send(ctx, "genuine delivery", d).acknowledged()
}

// deliveryAt returns a delivery that is signed at a time away from now.
func (e *Endpoint) deliveryAt(away time.Duration) *webhooktest.Delivery {
	return e.delivery().Sign(time.Now().Add(away), e.signer())
}

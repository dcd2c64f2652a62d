package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

// slow is how long a response may take. Google waits "a few seconds".
const slow = 5 * time.Second

// genuine delivers an event of an unknown type. If the endpoint is not reached,
// all other checks would prove nothing.
func (e *Endpoint) genuine(ctx context.Context) (result Result, reached, accepted bool) {
	const check = "genuine delivery"
	r := e.send(ctx, check, e.delivery())
	text := fmt.Sprintf("of the unknown type %q: %s", EventType, r)
	switch {
	case r.err != nil:
		result = failure(check, text, "Check the URL, the firewall, and that the program runs.")
		return result, false, false
	case r.acknowledged() && r.elapsed > slow:
		text += fmt.Sprintf(" after %v", r.elapsed.Round(time.Second))
		result = warning(check, text,
			"Google waits only a few seconds: put the event into a queue, and respond at once.")
		return result, true, true
	case r.acknowledged():
		return ok(check, text), true, true
	}
	do, reached := "The log of the program has the reason.", true
	switch r.status {
	case 301, 302, 303, 307, 308:
		do, reached = "Use the final URL, also in the webhook.", false
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		do, reached = "Check the path of the URL: nothing receives deliveries there.", false
	case http.StatusUnauthorized:
		do = "If something in front of the program asks for credentials, exempt this path: Google has none. " +
			"Otherwise: " + e.cause(ctx, r)
	case http.StatusForbidden:
		result = warning(check, text,
			"This is right if the endpoint accepts only events about its own jobs (Authorize). "+
				"Otherwise, something in front of it refuses the event.")
		return result, true, false
	case http.StatusBadRequest:
		do = e.cause(ctx, r) + " " + do
	case http.StatusInternalServerError:
		do = "The function must ignore types that it does not know, " +
			"because Google may add some. " + do
	case http.StatusServiceUnavailable:
		do = "Its store or its keys are unavailable. " + do
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		do, reached = "The proxy in front does not reach the program.", false
	}
	return failure(check, text, do), reached, false
}

// accepted makes the checks of deliveries that must be acknowledged.
func (e *Endpoint) accepted(ctx context.Context, report func(Result)) {
	for _, secret := range e.Secrets[1:] {
		check := "secret " + name(secret)
		r := e.send(ctx, check, webhooktest.New(EventType, webhooktest.Static(secret)))
		if r.acknowledged() {
			report(ok(check, r.String()))
			continue
		}
		report(warning(check, "configured here, but the endpoint does not accept it: "+r.String(),
			"Deploy the secret, unless it has expired."))
	}
	several := e.delivery()
	valid := several.Header.Get("webhook-signature")
	several.Header.Set("webhook-signature",
		"v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= v9,AAAA "+valid)
	report(acknowledges("several signatures", e.send(ctx, "several signatures", several),
		"During a rotation, any of the signatures may be the one that matches, and unknown versions are to be skipped."))

	const body = `{"type":"` + EventType +
		`","version":"v9","timestamp":"soon","data":null,"more":[1]}`
	strange := webhooktest.NewBody([]byte(body), e.signer())
	report(acknowledges("unfamiliar body", e.send(ctx, "unfamiliar body", strange),
		"Google may add members and change others: an event must not be lost for that."))

	report(acknowledges("body in another form", e.send(ctx, "body in another form", e.odd()),
		"It verifies JSON that it has encoded again, which need not be as Google writes it: verify the bytes that arrived."))

	again := e.delivery()
	first := e.send(ctx, "duplicate", again)
	second := e.send(ctx, "duplicate", again.Clone().Sign(time.Now(), e.signer()))
	if !first.acknowledged() {
		second = first
	}
	report(acknowledges("duplicate", second, "Otherwise Google repeats an event that is done for 24 hours."))
	report(e.twoAtOnce(ctx))
}

// odd returns a genuine delivery with a body that is JSON as no encoder writes it.
func (e *Endpoint) odd() *webhooktest.Delivery {
	const form = "{ \"version\":\"v1\",\n  \"type\" :%q,\"timestamp\": %q,\t\"data\":{\"id\":\"\\u0061\\/b\"}}\r\n"
	body := fmt.Appendf(nil, form, EventType, time.Now().UTC().Format(time.RFC3339))
	return webhooktest.NewBody(body, e.signer())
}

func acknowledges(check string, r response, do string) Result {
	if r.acknowledged() {
		return ok(check, r.String())
	}
	return failure(check, r.String()+" instead of 200", do)
}

// twoAtOnce sends the same delivery twice at the same time. One of them may get a
// 503 while the other is being handled.
func (e *Endpoint) twoAtOnce(ctx context.Context) Result {
	const check = "two at once"
	d := e.delivery()
	responses := make(chan response)
	for range 2 {
		go func() { responses <- e.send(ctx, check, d.Clone()) }()
	}
	both := []response{<-responses, <-responses}
	slices.SortFunc(both, func(a, b response) int { return a.status - b.status })
	text := both[0].String() + " and " + both[1].String()
	busy := slices.IndexFunc(both, func(r response) bool {
		return r.status == http.StatusServiceUnavailable
	})
	// Both must be acknowledged, except that one may get a 503.
	acknowledged := 0
	for _, r := range both {
		if r.acknowledged() {
			acknowledged++
		}
	}
	if acknowledged == 0 || (acknowledged == 1 && busy < 0) {
		return failure(check, text, "One must be acknowledged, and the other too, or with 503 until the first run has ended.")
	}
	if busy >= 0 && both[busy].header.Get("Retry-After") == "" {
		return warning(check, text+", without Retry-After", "Add Retry-After, which tells when to try again.")
	}
	return ok(check, text)
}

package doctor

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

// refusal is a delivery that an endpoint must refuse with 400.
type refusal struct {
	check string
	hole  string // what is wrong with an endpoint that accepts it, and what to do
	spoil spoiler
}

// spoiler makes a genuine delivery one that must be refused.
type spoiler = func(e *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery

const checkAll = "Anyone can forge such a delivery: verify every signature before anything else."

// refusals lists the holes of verifiers that were found in the field.
var refusals = []refusal{
	{
		"forged signature", checkAll,
		func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery { return d.WrongSecret() },
	},
	{
		"changed body", "Verify the bytes that arrived.",
		func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery { return d.Tampered() },
	},
	{
		"body with another spacing", "It verifies JSON that it has encoded again: verify the bytes that arrived.",
		func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
			d.Body = append(d.Body, ' ')
			return d
		},
	},
	{
		"empty secret", "It verifies with an empty secret, so anyone can sign: set GEMINI_WEBHOOK_SECRET, and refuse to start without it.",
		func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
			return signed(d, "v1,"+mac(nil, d))
		},
	},
	{
		"published secret", "It accepts a secret that everybody can read: rotate the secret.",
		func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
			one, other := webhooktest.Static(published[0]), webhooktest.Static(published[1])
			return d.Sign(time.Now(), one, other)
		},
	},
	{
		"stale timestamp", "It does not compare webhook-timestamp with the clock, so a delivery can be replayed forever.",
		func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery { return d.Stale() },
	},
	{
		"future timestamp", "It compares webhook-timestamp in one direction only, so a delivery can be kept and replayed later.",
		func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery { return d.Future() },
	},
	{"smallest timestamp", "Its comparison of the times overflows.", extreme(math.MinInt64)},
	{"largest timestamp", "Its comparison of the times overflows.", extreme(math.MaxInt64)},
	{"timestamp with a plus sign", formatted, timestamp("+")},
	{"timestamp with zeros in front", formatted, timestamp("00")},
	{"no version prefix", listed, signature(func(mac string) string { return mac })},
	{"unknown version", listed, signature(func(mac string) string { return "v9," + mac })},
	{
		"v1 signature as v1a", "v1a is Ed25519: verify it with a public key, and skip it without one.",
		signature(func(mac string) string { return "v1a," + mac }),
	},
	{
		"signature inside another", "It searches for the signature in the header: compare whole entries.",
		signature(func(mac string) string { return "v1,A" + mac + "A" }),
	},
	{
		"beginning of a signature", "It compares only a part: compare all of it, in constant time.",
		signature(func(mac string) string { return "v1," + mac[:8] }),
	},
	{"empty signature", checkAll, signature(func(string) string { return "v1," })},
	{
		"JWT without a signature", "It accepts the algorithm \"none\". Gemini sends no JWT: do not read any.",
		signature(func(string) string {
			encode := base64.RawURLEncoding.EncodeToString
			header := encode([]byte(`{"alg":"none","typ":"JWT"}`))
			claims := encode(fmt.Appendf(nil, `{"iat":%d}`, time.Now().Unix()))
			return header + "." + claims + "."
		}),
	},
	{"no headers", checkAll, without("webhook-id", "webhook-timestamp", "webhook-signature")},
	{"no webhook-signature", checkAll, without("webhook-signature")},
	{"no webhook-timestamp", "Without a timestamp, a delivery can be replayed forever.", without("webhook-timestamp")},
	{
		"no webhook-id", "Without an id, duplicates cannot be told apart.",
		func(e *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
			d.Header.Del("webhook-id")
			return d.Sign(time.Now(), e.signer()) // a genuine signature, over an empty id
		},
	},
	{
		"body that is not JSON", "It acknowledges a body that it cannot read.",
		func(e *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
			d.Body = []byte("not JSON")
			return d.Sign(time.Now(), e.signer())
		},
	},
}

const (
	formatted = "It verifies a timestamp that it has parsed and formatted again: verify the header as it arrived, and accept digits only."
	listed    = "It does not read the header as a list of entries of the form <version>,<signature>, or accepts any version."
)

// signed sets the signature header.
func signed(d *webhooktest.Delivery, header string) *webhooktest.Delivery {
	d.Header.Set("webhook-signature", header)
	return d
}

// signature makes a bad header from the right signature in base64.
func signature(change func(mac string) string) spoiler {
	return func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
		mac := strings.TrimPrefix(d.Header.Get("webhook-signature"), "v1,")
		return signed(d, change(mac))
	}
}

// timestamp puts a prefix before the timestamp that was signed.
func timestamp(prefix string) spoiler {
	return func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
		d.Header.Set("webhook-timestamp", prefix+d.Header.Get("webhook-timestamp"))
		return d
	}
}

// extreme signs with the timestamp.
func extreme(seconds int64) spoiler {
	return func(e *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
		return d.Sign(time.Unix(seconds, 0), e.signer())
	}
}

// without removes headers.
func without(names ...string) spoiler {
	return func(_ *Endpoint, d *webhooktest.Delivery) *webhooktest.Delivery {
		for _, n := range names {
			d.Header.Del(n)
		}
		return d
	}
}

// mac returns the signature of the delivery with the key, in base64.
func mac(key []byte, d *webhooktest.Delivery) string {
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%s.%s", d.ID(), d.Header.Get("webhook-timestamp"), d.Body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// refuses checks that the endpoint refuses a bad delivery with 400.
func (e *Endpoint) refuses(ctx context.Context, r refusal) Result {
	got := e.send(ctx, r.check, r.spoil(e, e.delivery()))
	return judge(r.check, got, http.StatusBadRequest, r.hole)
}

// judge compares the response to a bad request with the status that this library
// would respond with.
func judge(check string, got response, want int, hole string) Result {
	instead := fmt.Sprintf("%s instead of %d", got, want)
	switch {
	case got.status == want:
		return ok(check, got.String())
	case got.acknowledged():
		return failure(check, "accepted: "+instead, hole)
	case got.err != nil || got.status >= 500:
		return failure(check, instead, "A stranger can make it fail like that. The log of the program has the reason.")
	}
	return warning(check, "refused, but with "+instead, "Harmless if it is on purpose.")
}

const maxBody = 4 << 20 // bytes; events have some hundred

// oversized sends a genuine delivery that is far too long.
func (e *Endpoint) oversized(ctx context.Context) Result {
	const check = "oversized body"
	patient := &Endpoint{URL: e.URL, Secrets: e.Secrets, Timeout: time.Minute, Now: e.Now}
	got := patient.send(ctx, check, e.delivery().Oversized(maxBody))
	e.leaked = cmp.Or(e.leaked, patient.leaked)
	if got.err != nil {
		return warning(check, got.String(), "No status arrived. 413 would say why it is refused.")
	}
	const hole = "It reads %d MiB and maybe more into memory: bound the body before it is read."
	return judge(check, got, http.StatusRequestEntityTooLarge, fmt.Sprintf(hole, maxBody>>20))
}

// get sends a GET request, as a browser does.
func (e *Endpoint) get(ctx context.Context) Result {
	const check = "GET"
	req, err := http.NewRequest(http.MethodGet, e.URL, nil)
	if err != nil {
		return failure(check, err.Error(), "Check the URL.")
	}
	got := e.do(ctx, check, req, e.delivery())
	if got.acknowledged() {
		return warning(check, got.String()+" instead of 405", "This is right if another route responds to it. If it is the endpoint, only POST is a delivery.")
	}
	result := judge(check, got, http.StatusMethodNotAllowed, "")
	if result.Level == OK && !strings.Contains(got.header.Get("Allow"), http.MethodPost) {
		return warning(check, got.String()+", without an Allow header that names POST", "Harmless.")
	}
	return result
}

// silent reports whether the responses kept what strangers must not learn.
func (e *Endpoint) silent() Result {
	const check = "responses reveal nothing"
	if e.leaked != "" {
		return failure(check, "the response to \""+e.leaked+"\" has the right signature or the secret in it, so that anyone can sign",
			"Respond with the status alone, keep both out of every error, and rotate the secret.")
	}
	return ok(check, "neither a signature nor the secret")
}

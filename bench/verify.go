package main

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"
)

const (
	right = "whsec_ZxVYr0nqGm1uP4yJb2d8sQ7tW5kE9aLhC3fN6oRiX0M="
	wrong = "whsec_mB4vK8sTq1XzLw7RjYp0HcN3uEaGf6dO9iVtQk2nSxM="
)

// body is a JSON object of the size, so that a library that decodes can.
func body(size int) []byte {
	const begin, end = `{"type":"batch.succeeded","data":{"id":"`, `"}}`
	return []byte(begin + strings.Repeat("x", size-len(begin)-len(end)) + end)
}

// verifyFunc verifies a delivery. A nil error means that it is genuine.
type verifyFunc func(d *webhooktest.Delivery) error

// contender verifies as one library does.
type contender struct {
	name   string
	verify verifyFunc
}

// contenders returns the floor, this package and its peers. With several secrets the
// floor and the peers, which take one, are called once for each.
func contenders(secrets ...string) []contender {
	ours, err := geminihook.NewHMAC(secrets...)
	must(err)
	hashes := forEach(secrets, floor)
	return []contender{
		{
			name: "floor: a hash and the clock",
			verify: func(d *webhooktest.Delivery) error {
				_ = time.Now()
				return hashes(d)
			},
		},
		{
			name: "geminihook",
			verify: func(d *webhooktest.Delivery) error {
				_, err := ours.Verify(context.Background(), d.Header, d.Body)
				return err
			},
		},
		{name: "standard-webhooks v0.0.1", verify: forEach(secrets, standardWebhooks)},
		{name: "svix v1.44.0", verify: forEach(secrets, svixWebhooks)},
		{name: "stripe-go v85.0.0", verify: forEach(secrets, stripeWebhooks)},
	}
}

func standardWebhooks(secret string) verifyFunc {
	w, err := standardwebhooks.NewWebhook(secret)
	must(err)
	return func(d *webhooktest.Delivery) error { return w.Verify(d.Body, d.Header) }
}

func svixWebhooks(secret string) verifyFunc {
	w, err := svix.NewWebhook(secret)
	must(err)
	return func(d *webhooktest.Delivery) error { return w.Verify(d.Body, d.Header) }
}

func stripeWebhooks(secret string) verifyFunc {
	return func(d *webhooktest.Delivery) error {
		return webhook.ValidatePayload(d.Body, d.Header.Get(stripeHeader), secret)
	}
}

// forEach returns a function that verifies with one secret after the other, until one
// of them matches.
func forEach(secrets []string, newVerify func(secret string) verifyFunc) verifyFunc {
	var each []verifyFunc
	for _, secret := range secrets {
		each = append(each, newVerify(secret))
	}
	return func(d *webhooktest.Delivery) error {
		var err error
		for _, verify := range each {
			if err = verify(d); err == nil {
				return nil
			}
		}
		return err
	}
}

// floor is the hash that no verification can do without: one HMAC over the signed
// bytes, which lie ready, and a comparison.
func floor(secret string) verifyFunc {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	must(err)
	mac := hmac.New(sha256.New, key)
	var sum [sha256.Size]byte
	var of *webhooktest.Delivery
	var signed, given []byte
	return func(d *webhooktest.Delivery) error {
		if of != d {
			of = d
			signed = signedBytes(d)
			given = signatureOf(d, "v1,")
		}
		mac.Reset()
		mac.Write(signed)
		if !hmac.Equal(mac.Sum(sum[:0]), given) {
			return errForged
		}
		return nil
	}
}

// signatureOf returns the bytes of the one signature that a delivery has.
func signatureOf(d *webhooktest.Delivery, version string) []byte {
	text := strings.TrimPrefix(d.Header.Get("webhook-signature"), version)
	signature, err := base64.StdEncoding.DecodeString(text)
	must(err)
	return signature
}

var errForged = fmt.Errorf("forged")

func signedBytes(d *webhooktest.Delivery) []byte {
	return fmt.Appendf(nil, "%s.%s.%s", d.ID(), d.Header.Get("webhook-timestamp"), d.Body)
}

// stripeHeader is signed like the others: stripe-go reads no other header.
const stripeHeader = "Stripe-Signature"

// delivery is signed for all contenders with the secret.
func delivery(size int, secret string) *webhooktest.Delivery {
	d := webhooktest.NewBody(body(size), webhooktest.Static(secret))
	d.Header.Set(stripeHeader, webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{
		Payload: d.Body, Secret: secret, Timestamp: time.Now(),
	}).Header)
	return d
}

type verifyCase struct {
	name    string
	secrets []string
	signed  string
	genuine bool
}

var verifyCases = []verifyCase{
	{"One secret", []string{right}, right, true},
	{"Two secrets, the second matches", []string{wrong, right}, right, true},
	{"Forged", []string{right}, wrong, false},
}

var sizes = []int{300, 4 << 10, 256 << 10}

// verification measures one case: a cost per contender and size.
func verification(rounds int, c verifyCase) (names []string, costs [][]cost) {
	costs = make([][]cost, len(sizes))
	for i, size := range sizes {
		d := delivery(size, c.signed)
		var ways []way
		for _, k := range contenders(c.secrets...) {
			ways = append(ways, way{name: k.name, run: func(int) { _ = k.verify(d) }})
		}
		costs[i] = compare(rounds, max(20, 600_000/size), 1, ways)
		names = names[:0]
		for _, w := range ways {
			names = append(names, w.name)
		}
	}
	return names, costs
}

// dynamicVerification is the same for v1a, which none of the peers knows.
func dynamicVerification(rounds int) (names []string, costs [][]cost) {
	key := webhooktest.Key(0)
	public := webhooktest.Public(key)
	set, stop := keySet(key)
	defer stop()
	given := &geminihook.Ed25519{Keys: []ed25519.PublicKey{public}}
	names = []string{"floor: `ed25519.Verify`", "geminihook, `Ed25519`", "geminihook, `KeySet`"}
	for _, size := range sizes {
		d := webhooktest.NewBody(body(size), webhooktest.Dynamic(key))
		signed := signedBytes(d)
		sig := signatureOf(d, "v1a,")
		verify := func(v geminihook.Verifier) func(int) {
			return func(int) {
				_, err := v.Verify(context.Background(), d.Header, d.Body)
				must(err)
			}
		}
		costs = append(costs, compare(rounds, max(10, 60_000/size), 1, []way{
			{name: names[0], run: func(int) { _ = ed25519.Verify(public, signed, sig) }},
			{name: names[1], run: verify(given)},
			{name: names[2], run: verify(set)},
		}))
	}
	return names, costs
}

// keySet is a KeySet of a server with 16 keys, of which the last signs.
func keySet(last ed25519.PrivateKey) (set *geminihook.KeySet, stop func()) {
	var keys []ed25519.PublicKey
	for i := range 15 {
		keys = append(keys, webhooktest.Public(webhooktest.Key(i+1)))
	}
	server := webhooktest.NewKeyServer(append(keys, webhooktest.Public(last))...)
	return &geminihook.KeySet{
		URL: server.URL, Client: &http.Client{Timeout: time.Minute},
		Logger: slog.New(slog.DiscardHandler),
	}, server.Close
}

package webhooktest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestSecret is a signing secret for tests. It is public, so a receiver that can be
// reached by others must never accept it; use [RandomSecret] there.
const TestSecret = "whsec_Z2VtaW5paG9vay10ZXN0LXNlY3JldC0wMDAwMDAx"

// A Signer makes one entry of the webhook-signature header.
type Signer interface {
	// Sign returns "<version>,<base64>", a signature of
	// "<id>.<timestamp>.<body>" with the timestamp in Unix seconds.
	Sign(id string, at time.Time, body []byte) string
}

// Static returns a [Signer] that signs like Gemini's static webhooks: "v1", an
// HMAC-SHA256 with the secret. It uses the reference library of Standard
// Webhooks. The secret may have any form that [geminihook.ParseSecret] accepts.
// Static panics if the secret is not base64.
func Static(secret string) Signer {
	text := strings.TrimPrefix(strings.TrimSpace(secret), "whsec_")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		panic("webhooktest: Static: the secret is not base64")
	}
	w, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		panic("webhooktest: " + err.Error())
	}
	return &signer{func(id string, at time.Time, body []byte) string {
		entry, err := w.Sign(id, at, body)
		if err != nil {
			panic("webhooktest: " + err.Error())
		}
		return entry
	}}
}

// Dynamic returns a [Signer] that signs like Gemini's dynamic webhooks: "v1a",
// an Ed25519 signature with the key.
func Dynamic(key ed25519.PrivateKey) Signer {
	return &signer{func(id string, at time.Time, body []byte) string {
		prefix := id + "." + strconv.FormatInt(at.Unix(), 10) + "."
		signature := ed25519.Sign(key, append([]byte(prefix), body...))
		return "v1a," + base64.StdEncoding.EncodeToString(signature)
	}}
}

// signer keeps its key in a closure, where reflection does not find it: testing
// libraries print the unexported fields of a Delivery, which holds its signers.
type signer struct {
	sign func(id string, at time.Time, body []byte) string
}

func (s *signer) Sign(id string, at time.Time, body []byte) string { return s.sign(id, at, body) }

// Key returns the nth private key for tests, the same in every run. These keys
// are public, so a receiver that can be reached by others must never accept
// them.
func Key(n int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "geminihook test key %d", n))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Public returns the public half of the key, for [NewKeyServer], [JWKS], and
// [geminihook.Ed25519].
func Public(key ed25519.PrivateKey) ed25519.PublicKey {
	return key.Public().(ed25519.PublicKey)
}

// RandomSecret returns a fresh signing secret: "whsec_" followed by 32 random bytes
// in base64.
func RandomSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

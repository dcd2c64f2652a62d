package geminihook_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzVerify: whatever a stranger sends, nothing panics, and nothing is
// accepted that was not signed with a configured key.
func FuzzVerify(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.ID, v.Timestamp, v.Signature, []byte(v.Body))
	}
	hmac := newVerifier(f)
	hmac.Tolerance = math.MaxInt64
	keys := &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(webhooktest.Key(1)), nil}, Tolerance: math.MaxInt64}
	either := geminihook.AnyOf(hmac, keys)
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		proof, err := either.Verify(t.Context(), header, body)
		if err == nil {
			t.Fatalf("accepted by %v what nobody signed", proof)
		}
		if code := geminihook.StatusCode(err); code != http.StatusBadRequest {
			t.Fatalf("%v has status %d", err, code)
		}
	})
}

// FuzzReference: the verdict on v1 is the reference library's. The deliberate
// differences are in the function applies.
func FuzzReference(f *testing.F) {
	key := []byte("0123456789abcdef0123456789abcdef")
	f.Add(key, key, "msg_1", "1779364800", []byte("{}"), "", "", false)
	f.Add(key, key, "msg_1", "1779364800", []byte("{}"), "v1,AAAA v1a,BBBB ", " v2,CCCC", false)
	f.Add(key, key, "msg_1", "+1779364800", []byte("{}"), "", ",more", false)
	f.Add(key, key[:31], "msg_1", "1779364800", []byte("{}"), "", "", false)
	f.Add(key, key, "msg_1", "1779364800", []byte("{}"), "", "", true)
	f.Fuzz(func(t *testing.T, key, signedWith []byte, id, timestamp string, body []byte, before, after string, tamper bool) {
		reference, err := standardwebhooks.NewWebhookRaw(signedWith)
		require.NoError(t, err)
		signature, err := reference.Sign(id, seconds(timestamp), body)
		require.NoError(t, err)
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {before + signature + after}}
		if tamper {
			body = append(bytes.Clone(body), ' ')
		}
		secret, err := geminihook.NewSecret(key)
		if !applies(id, timestamp, header.Get("Webhook-Signature"), err) {
			return
		}
		ours := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}, Tolerance: math.MaxInt64}
		theirs, err := standardwebhooks.NewWebhookRaw(key)
		require.NoError(t, err)
		_, got := ours.Verify(t.Context(), header, body)
		want := theirs.VerifyIgnoringTimestamp(body, header)
		if (got == nil) != (want == nil) {
			t.Fatalf("ours: %v, the reference: %v", got, want)
		}
	})
}

// applies is false if the reference library (v0.0.1) accepts what this package
// refuses on purpose. The clock is left out: the reference has no other than
// its own.
func applies(id, timestamp, signature string, secret error) bool {
	entries := strings.Fields(strings.ReplaceAll(signature, "\t", "x"))
	for _, entry := range entries {
		if strings.Count(entry, ",") > 1 { // "v1,<base64>,more"
			return false
		}
	}
	return secret == nil && // empty, short and all-zero secrets
		regexp.MustCompile(`^[!-~]{1,256}$`).MatchString(id) && // ids that are no key for a store
		regexp.MustCompile(`^[1-9][0-9]{0,18}$`).MatchString(timestamp) && // "+1", "01", "-1": formatted anew before signing
		len(entries) <= 8 // unbounded lists
}

func seconds(timestamp string) time.Time {
	var n int64
	_ = json.Unmarshal([]byte(strings.TrimLeft(timestamp, "+0")), &n)
	return time.Unix(n, 0)
}

func TestVectors(t *testing.T) {
	kinds := map[string]error{
		"header": geminihook.ErrHeader, "timestamp": geminihook.ErrTimestamp, "signature": geminihook.ErrSignature,
	}
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			now := func() time.Time { return time.Unix(v.Now, 0) }
			hmac := &geminihook.HMAC{Now: now}
			for _, s := range v.Secrets {
				secret, err := geminihook.ParseSecret(s)
				require.NoError(t, err)
				hmac.Secrets = append(hmac.Secrets, secret)
			}
			keys := &geminihook.Ed25519{Now: now}
			for _, k := range v.JWKS {
				x, err := base64.RawURLEncoding.DecodeString(k.X)
				require.NoError(t, err)
				keys.Keys = append(keys.Keys, x)
			}
			proof, err := geminihook.AnyOf(hmac, keys).Verify(t.Context(), v.header(), []byte(v.Body))
			if !v.Valid {
				require.ErrorIs(t, err, kinds[v.Error])
				assert.Equal(t, geminihook.Proof{}, proof)
				return
			}
			require.NoError(t, err)
			if proof.Scheme == geminihook.SchemeHMAC {
				assert.Equal(t, hmac.Secrets[v.Key].Name(), proof.KeyName)
				return
			}
			only := &geminihook.Ed25519{Now: now, Keys: keys.Keys[v.Key : v.Key+1]}
			alone, err := only.Verify(t.Context(), v.header(), []byte(v.Body))
			require.NoError(t, err)
			assert.Equal(t, alone, proof, "the key that matched is named")
		})
	}
}

// TestThumbprint is the example of RFC 8037, appendix A.3.
func TestThumbprint(t *testing.T) {
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	require.NoError(t, err)
	key := ed25519.NewKeyFromSeed(seed)
	d := webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Dynamic(key))
	v := &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(key)}}
	proof, err := v.Verify(t.Context(), d.Header, d.Body)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Proof{Scheme: "v1a", KeyName: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}, proof)
}

func TestAnyOf(t *testing.T) {
	d := webhooktest.New(geminihook.EventBatchFailed, signer)
	for _, tt := range []struct {
		name string
		any  geminihook.Verifier
		want error
	}{
		{"none", geminihook.AnyOf(), geminihook.ErrSignature},
		{"only nil", geminihook.AnyOf(nil, nil), geminihook.ErrSignature},
		{"nil pointers", geminihook.AnyOf((*geminihook.HMAC)(nil), (*geminihook.Ed25519)(nil)), geminihook.ErrSignature},
		{"first", geminihook.AnyOf(newVerifier(t), &geminihook.HMAC{}), nil},
		{"last", geminihook.AnyOf(nil, &geminihook.HMAC{}, newVerifier(t)), nil},
		{"nested", geminihook.AnyOf(geminihook.AnyOf(), geminihook.AnyOf(newVerifier(t))), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.any.Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, tt.want)
		})
	}
}

// TestUnusableKeys: what is no key must neither panic nor verify anything.
func TestUnusableKeys(t *testing.T) {
	// Under the all-zero key, a point of small order, this signature of R = A
	// and S = 0 holds for one message in four.
	zero := make(ed25519.PublicKey, ed25519.PublicKeySize)
	forged := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
	v := &geminihook.Ed25519{Keys: []ed25519.PublicKey{nil, make(ed25519.PublicKey, 31), make(ed25519.PublicKey, 33), zero}}
	for range 64 {
		d := webhooktest.New(geminihook.EventBatchFailed, signer)
		d.Header.Set("webhook-signature", forged)
		_, err := v.Verify(t.Context(), d.Header, d.Body)
		require.ErrorIs(t, err, geminihook.ErrSignature)
	}
}

func TestParsePublicKey(t *testing.T) {
	key := webhooktest.Public(webhooktest.Key(1))
	std := base64.StdEncoding.EncodeToString(key)
	for _, s := range []string{"whpk_" + std, std, "whpk_" + base64.RawURLEncoding.EncodeToString(key)} {
		got, err := geminihook.ParsePublicKey(s)
		require.NoError(t, err)
		assert.Equal(t, key, got)
	}
	for s, want := range map[string]string{
		"":                                "0 bytes",
		"whpk_":                           "0 bytes",
		"whpk_" + std[4:]:                 "29 bytes",
		"whpk_***":                        "not base64",
		webhooktest.TestSecret:            "a secret was given",
		"whsk_" + std:                     "a secret was given",
		"whpk_" + strings.Repeat("A", 43): "all zeros",
	} {
		_, err := geminihook.ParsePublicKey(s)
		require.ErrorContains(t, err, want, s)
	}
}

// TestVerifyAllocates nothing: neither for one secret nor for the second of
// two, whatever the body's size, so the body is copied nowhere.
func TestVerifyAllocates(t *testing.T) {
	for _, size := range []int{300, 256 << 10} {
		d := webhooktest.NewBody(make([]byte, size), signer)
		v, err := geminihook.NewHMAC(webhooktest.RandomSecret(), webhooktest.TestSecret)
		require.NoError(t, err)
		ctx := context.Background()
		allocs := leastAllocs(100, func() {
			if _, err := v.Verify(ctx, d.Header, d.Body); err != nil {
				t.Error(err)
			}
		})
		assert.Zero(t, allocs, "%d bytes", size)
	}
	t.Run("but the error", func(t *testing.T) {
		d := webhooktest.New(geminihook.EventBatchFailed, signer).Tampered()
		v, ctx := newVerifier(t), context.Background()
		assert.LessOrEqual(t, leastAllocs(100, func() { _, _ = v.Verify(ctx, d.Header, d.Body) }), 1.0)
	})
}

package geminihook_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// vector is a delivery signed by another implementation.
type vector struct {
	Name      string
	Now       int64
	ID        string
	Timestamp string
	Body      string
	Signature string
	Secrets   []string
	JWKS      []struct{ X string }
	Valid     bool
	Key       int
	Error     string
}

func (v *vector) header() http.Header {
	h := http.Header{}
	for name, value := range map[string]string{"webhook-id": v.ID, "webhook-timestamp": v.Timestamp, "webhook-signature": v.Signature} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors/standard-webhooks.json")
	require.NoError(t, err)
	var file struct{ Cases []vector }
	require.NoError(t, json.Unmarshal(b, &file))
	require.NotEmpty(t, file.Cases)
	return file.Cases
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
				assert.Equal(t, hmac.Secrets[v.Key].Name(), proof.Key)
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
	assert.Equal(t, geminihook.Proof{Scheme: "v1a", Key: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}, proof)
}

// TestHeaders has the forms that the vectors have not.
func TestHeaders(t *testing.T) {
	now := time.Unix(1_779_364_800, 0)
	sign := func(id string) http.Header {
		d := &webhooktest.Delivery{Header: http.Header{}, Body: []byte("{}")}
		d.Header["Webhook-Id"] = []string{id}
		return d.Sign(now, signer).Header
	}
	valid := sign("msg_1").Get("webhook-signature")
	with := func(name string, values ...string) http.Header {
		h := sign("msg_1")
		h[http.CanonicalHeaderKey(name)] = values
		return h
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		want   error
	}{
		{"good", sign("msg_1"), nil},
		{"no header", nil, geminihook.ErrHeader},
		{"id of 256 bytes", sign(strings.Repeat("x", 256)), nil},
		{"id of 257 bytes", sign(strings.Repeat("x", 257)), geminihook.ErrHeader},
		{"id with every visible character", sign("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), nil},
		{"id with a tab", sign("msg\t1"), geminihook.ErrHeader},
		{"id with NUL", sign("msg\x001"), geminihook.ErrHeader},
		{"id with DEL", sign("msg\x7f1"), geminihook.ErrHeader},
		{"id in UTF-8", sign("mśg"), geminihook.ErrHeader},
		{"two ids", with("webhook-id", "msg_1", "msg_2"), geminihook.ErrHeader},
		{"the same id twice", with("webhook-id", "msg_1", "msg_1"), geminihook.ErrHeader},
		{"two timestamps", with("webhook-timestamp", "1779364800", "1779364800"), geminihook.ErrHeader},
		{"timestamp zero", with("webhook-timestamp", "0"), geminihook.ErrHeader},
		{"largest timestamp", with("webhook-timestamp", strconv.FormatInt(math.MaxInt64, 10)), geminihook.ErrTimestamp},
		{"timestamp beyond time.Time", with("webhook-timestamp", "9223372036854775000"), geminihook.ErrTimestamp},
		{"timestamp of twenty digits", with("webhook-timestamp", "10000000000000000000"), geminihook.ErrHeader},
		{"blank signature", with("webhook-signature", "  "), geminihook.ErrHeader},
		{"two signature lines", with("webhook-signature", "v1,AAAA", valid), nil},
		{"double space between entries", with("webhook-signature", "v1,AAAA  "+valid), nil},
		{"eighth entry", with("webhook-signature", strings.Repeat("v1,AAAA ", 7)+valid), nil},
		{"ninth entry", with("webhook-signature", strings.Repeat("v1,AAAA ", 8)+valid), geminihook.ErrSignature},
		{"ninth entry, in a line of its own", with("webhook-signature", strings.Repeat("v1,AAAA ", 8), valid), geminihook.ErrSignature},
		{"more after the signature", with("webhook-signature", valid+",more"), geminihook.ErrSignature},
		{"signature without padding", with("webhook-signature", strings.TrimRight(valid, "=")), geminihook.ErrSignature},
		{"signature in the URL alphabet", with("webhook-signature", strings.NewReplacer("+", "-", "/", "_").Replace(valid)+"x"), geminihook.ErrSignature},
		{"capital version", with("webhook-signature", "V1"+valid[2:]), geminihook.ErrSignature},
		{"tab between entries", with("webhook-signature", "v1,AAAA\t"+valid), geminihook.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verifier(t)
			v.Now = func() time.Time { return now }
			_, err := v.Verify(t.Context(), tt.header, []byte("{}"))
			require.ErrorIs(t, err, tt.want)
		})
	}
}

func TestTolerance(t *testing.T) {
	const sent = 1_779_364_800
	d := webhooktest.New(geminihook.EventBatchFailed, signer).Sign(time.Unix(sent, 0), signer)
	for _, tt := range []struct {
		name      string
		tolerance time.Duration
		off       time.Duration
		want      error
	}{
		{"default, at the edge", 0, 5 * time.Minute, nil},
		{"default, a nanosecond past it", 0, 5*time.Minute + 1, geminihook.ErrTimestamp},
		{"default, early, at the edge", 0, -5 * time.Minute, nil},
		{"default, early, a nanosecond past it", 0, -5*time.Minute - 1, geminihook.ErrTimestamp},
		{"a second", time.Second, time.Second, nil},
		{"a second, past it", time.Second, 2 * time.Second, geminihook.ErrTimestamp},
		{"a day", 24 * time.Hour, 23 * time.Hour, nil},
		{"negative", -time.Hour, 0, geminihook.ErrTimestamp},
		{"largest, and a clock at zero", math.MaxInt64, -sent * time.Second, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := verifier(t)
			v.Tolerance, v.Now = tt.tolerance, func() time.Time { return time.Unix(sent, 0).Add(tt.off) }
			_, err := v.Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, tt.want)
		})
	}
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
		{"first", geminihook.AnyOf(verifier(t), &geminihook.HMAC{}), nil},
		{"last", geminihook.AnyOf(nil, &geminihook.HMAC{}, verifier(t)), nil},
		{"nested", geminihook.AnyOf(geminihook.AnyOf(), geminihook.AnyOf(verifier(t))), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.any.Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, tt.want)
		})
	}
	t.Run("says each reason once", func(t *testing.T) {
		_, err := geminihook.AnyOf(verifier(t), &geminihook.Ed25519{}).Verify(t.Context(), http.Header{}, nil)
		assert.Equal(t, 1, strings.Count(err.Error(), "exactly once"), err.Error())
	})
	t.Run("leaves out verifiers of the other scheme", func(t *testing.T) {
		v := geminihook.AnyOf(verifier(t), &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(webhooktest.Key(1))}})
		_, err := v.Verify(t.Context(), d.Tampered().Header, d.Tampered().Body)
		assert.Contains(t, err.Error(), "no v1 entry matches the secrets whsec_...MDAx")
		assert.NotContains(t, err.Error(), "v1a")
	})
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
		webhooktest.Secret:                "a secret was given",
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
		v, err := geminihook.NewHMAC(webhooktest.NewSecret(), webhooktest.Secret)
		require.NoError(t, err)
		ctx := context.Background()
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := v.Verify(ctx, d.Header, d.Body); err != nil {
				t.Error(err)
			}
		})
		assert.Zero(t, allocs, "%d bytes", size)
	}
	t.Run("but the error", func(t *testing.T) {
		d := webhooktest.New(geminihook.EventBatchFailed, signer).Tampered()
		v, ctx := verifier(t), context.Background()
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = v.Verify(ctx, d.Header, d.Body) }), 1.0)
	})
}

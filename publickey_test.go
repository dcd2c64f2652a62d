package geminihook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const smallOrderKey = "the public key is all zeros or another point of small order, " +
	"under which anyone can sign"

func TestParsePublicKey(t *testing.T) {
	key := webhooktest.Public(webhooktest.Key(1))
	std := base64.StdEncoding.EncodeToString(key)
	const secretGiven = `a secret was given, but a public key ("whpk_") is needed`
	for _, tt := range []struct {
		name, text string
		want       string // the error; empty for key
	}{
		{"with prefix", "whpk_" + std, ""},
		{"without prefix", std, ""},
		{"white space around it", " whpk_" + std + "\n", ""},
		{"URL alphabet, unpadded", "whpk_" + base64.RawURLEncoding.EncodeToString(key), ""},
		{"empty", "", "the public key has 0 bytes, but an Ed25519 key has 32"},
		{"only the prefix", "whpk_", "the public key has 0 bytes, but an Ed25519 key has 32"},
		{"cut short", "whpk_" + std[4:], "the public key has 29 bytes, but an Ed25519 key has 32"},
		{"not base64", "whpk_***", "public key is not base64"},
		{"secret", webhooktest.TestSecret, secretGiven},
		{"private key", "whsk_" + std, secretGiven},
		{"all zeros", "whpk_" + strings.Repeat("A", 43), smallOrderKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := geminihook.ParsePublicKey(tt.text)
			if tt.want == "" {
				require.NoError(t, err)
				assert.Equal(t, key, got)
				return
			}
			require.EqualError(t, err, "geminihook: "+tt.want)
			assert.Nil(t, got)
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
	assert.Equal(t, "v1a", proof.Scheme)
	assert.Equal(t, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", proof.KeyName)
}

// smallOrderPoints are the eight points of small order in their canonical
// encodings, and the six other encodings that crypto/ed25519 reads ("Taming the
// Many EdDSAs", table 1).
var smallOrderPoints = []struct{ name, encoding string }{
	{"order 1", "0100000000000000000000000000000000000000000000000000000000000000"},
	{"order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 4", "0000000000000000000000000000000000000000000000000000000000000000"},
	{"order 4, negative", "0000000000000000000000000000000000000000000000000000000000000080"},
	{"order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
	{"order 8, negative", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
	{"another of order 8", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
	{"another of order 8, negative", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
	{"order 1, sign set", "0100000000000000000000000000000000000000000000000000000000000080"},
	{"order 2, sign set", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
	{"order 4, y = p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 4, y = p, sign set", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
	{"order 1, y = p+1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 1, y = p+1, sign set", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
}

// forge makes a delivery with a signature of R, a point of small order, and S =
// 0, which holds under the key for about one message in eight. No private key
// takes part in it.
func forge(t *testing.T, key ed25519.PublicKey) *webhooktest.Delivery {
	t.Helper()
	for n := range 1000 {
		d := webhooktest.NewBody(fmt.Appendf(nil, `{"n":%d}`, n))
		message := d.ID() + "." + d.Header.Get("webhook-timestamp") + "." + string(d.Body)
		for _, r := range smallOrderPoints[:8] {
			signature := make([]byte, ed25519.SignatureSize)
			_, err := hex.Decode(signature, []byte(r.encoding))
			require.NoError(t, err)
			if ed25519.Verify(key, []byte(message), signature) {
				encoded := base64.StdEncoding.EncodeToString(signature)
				d.Header.Set("webhook-signature", "v1a,"+encoded)
				return d
			}
		}
	}
	t.Fatal("crypto/ed25519 accepts none of these signatures")
	return nil
}

// TestSmallOrderKeys: anyone can sign under such a key, and nothing takes it.
func TestSmallOrderKeys(t *testing.T) {
	require.Len(t, smallOrderPoints, 14)
	for _, tt := range smallOrderPoints {
		t.Run(tt.name, func(t *testing.T) {
			key, err := hex.DecodeString(tt.encoding)
			require.NoError(t, err)
			good := publicKeys(1)[0]
			d := forge(t, key)

			_, err = geminihook.ParsePublicKey("whpk_" + base64.StdEncoding.EncodeToString(key))
			require.EqualError(t, err, "geminihook: "+smallOrderKey)
			_, err = (&geminihook.Ed25519{Keys: []ed25519.PublicKey{key, good}}).
				Verify(t.Context(), d.Header, d.Body)
			requireVerdict(t, err, geminihook.ErrSignature, publicKeyMismatch)
			_, err = (&geminihook.Ed25519{Keys: []ed25519.PublicKey{key}}).
				Verify(t.Context(), d.Header, d.Body)
			requireVerdict(t, err, geminihook.ErrUnavailable, noPublicKey)

			ks := newTestKeySet(t)
			ks.keys.Now = nil
			ks.source.serve(string(webhooktest.JWKS(key, good)))
			_, err = ks.keys.Verify(t.Context(), d.Header, d.Body)
			requireVerdict(t, err, geminihook.ErrSignature, publicKeyMismatch)
			assert.Contains(t, ks.logs.String(), smallOrderKey)

			ks = newTestKeySet(t)
			ks.keys.Now = nil
			ks.source.serve(string(webhooktest.JWKS(key)))
			_, err = ks.keys.Verify(t.Context(), d.Header, d.Body)
			requireVerdict(t, err, geminihook.ErrUnavailable, noUsableKey)
		})
	}
}

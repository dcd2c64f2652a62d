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

// badEntry is a "v1a" entry that matches no key, another for each n.
func badEntry(n byte) string {
	signature := make([]byte, ed25519.SignatureSize)
	signature[0] = n
	return "v1a," + base64.StdEncoding.EncodeToString(signature)
}

// TestEd25519Entries counts the verifications by the positions at which a good
// entry is still found: at most three distinct v1a entries are looked at, equal
// ones once, and at most eight entries of any kind.
func TestEd25519Entries(t *testing.T) {
	const good = "good"
	distinct := func(n int) string {
		entries := make([]string, n)
		for i := range entries {
			entries[i] = badEntry(byte(i))
		}
		return strings.Join(entries, " ")
	}
	equal := func(n int) string { return strings.TrimSpace(strings.Repeat(badEntry(0)+" ", n)) }
	hmacs := func(n int) string { return strings.TrimSpace(strings.Repeat("v1,AAAA ", n)) }
	for _, tt := range []struct {
		name    string
		entries string
		want    bool
	}{
		{"first", good, true},
		{"second", distinct(1) + " good", true},
		{"third", distinct(2) + " good", true},
		{"fourth", distinct(3) + " good", false},
		{"eighth", distinct(7) + " good", false},
		{"before seven others", good + " " + distinct(7), true},
		{"after one of four equal", equal(4) + " good", true},
		{"after seven equal", equal(7) + " good", true},
		{"after eight equal", equal(8) + " good", false},
		{"after two distinct, each twice", distinct(2) + " " + distinct(2) + " good", true},
		{"after three distinct, each twice", distinct(3) + " " + distinct(3) + " good", false},
		{"good one repeated", good + " " + good + " " + good, true},
		{"after v1 entries", hmacs(7) + " good", true},
		{"after v1 and two v1a entries", "v1,A v1,B v1,C " + distinct(2) + " good", true},
		{"after v1 and three v1a entries", "v1,A v1,B v1,C " + distinct(3) + " good", false},
		{"after three that are no signatures", "v1a,AAAA v1a,BBBB v1a,CCCC good", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := webhooktest.New(geminihook.EventVideoGenerated).Sign(at, webhooktest.Dynamic(webhooktest.Key(1)))
			d.Header.Set("webhook-signature", strings.ReplaceAll(tt.entries, good, d.Header.Get("webhook-signature")))
			kt := newKeySetTest(t, 0, 1, 2)
			fixed := &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(webhooktest.Key(1))}, Now: kt.clock.Now}
			for _, v := range []geminihook.Verifier{kt, fixed} {
				_, err := v.Verify(t.Context(), d.Header, d.Body)
				if tt.want {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, geminihook.ErrSignature)
				}
			}
		})
	}
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
				d.Header.Set("webhook-signature", "v1a,"+base64.StdEncoding.EncodeToString(signature))
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
			d := forge(t, key)

			_, err = geminihook.ParsePublicKey("whpk_" + base64.StdEncoding.EncodeToString(key))
			require.ErrorContains(t, err, "small order")
			fixed := &geminihook.Ed25519{Keys: []ed25519.PublicKey{key}}
			_, err = fixed.Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, geminihook.ErrSignature)

			kt := newKeySetTest(t)
			kt.Now = nil
			kt.source.serve(string(webhooktest.JWKS(key, webhooktest.Public(webhooktest.Key(1)))))
			_, err = kt.Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, geminihook.ErrSignature)
			assert.Contains(t, kt.logs.String(), "small order")
			kt.source.serve(string(webhooktest.JWKS(key)))
			_, err = (&geminihook.KeySet{Client: kt.Client, Logger: kt.Logger}).Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, geminihook.ErrUnavailable, "no key is usable")
		})
	}
}

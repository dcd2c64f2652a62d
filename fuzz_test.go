package geminihook_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// FuzzVerify: whatever a stranger sends, nothing panics, and nothing is
// accepted that was not signed with a configured key.
func FuzzVerify(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.ID, v.Timestamp, v.Signature, []byte(v.Body))
	}
	hmac := verifier(f)
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
			t.Fatalf("%v answers %d", err, code)
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

// applies lists where the reference library (v0.0.1) accepts what this package
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

// FuzzParseUnverified: no panic, no byte of the body lost, an error only where
// encoding/json finds no object, and its view of the fields.
func FuzzParseUnverified(f *testing.F) {
	for _, t := range webhooktest.Types() {
		f.Add(webhooktest.BodyWith(t, map[string]any{"a": 1}))
	}
	f.Add([]byte(`{"type":"x","\u0074ype":"y","data":{"id":"\\\"","errorCode":1e3},"Data":null,"x":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		var want map[string]json.RawMessage
		isObject := json.Unmarshal(body, &want) == nil && want != nil
		ev, err := geminihook.ParseUnverified(body)
		if isObject != (err == nil) {
			t.Fatalf("object: %v, error: %v", isObject, err)
		}
		if err != nil {
			require.ErrorIs(t, err, geminihook.ErrPayload)
			return
		}
		require.Equal(t, before, []byte(ev.Raw))
		require.NotNil(t, ev.Data)
		var typ string
		if json.Unmarshal(want["type"], &typ) == nil && string(want["type"]) != "null" {
			require.Equal(t, typ, string(ev.Type))
		}
		if u, ok := ev.Data.(*geminihook.Unknown); ok {
			require.Equal(t, string(want["data"]), string(u.Data))
			return
		}
		var data map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(want["data"], &data))
		var id string
		if v, ok := data["id"]; ok {
			require.NoError(t, json.Unmarshal(v, &id))
		}
		require.Contains(t, idAndMore(ev.Data), id)
	})
}

// idAndMore is the data as JSON decodes it again: all its strings.
func idAndMore(d geminihook.Data) []string {
	b, _ := json.Marshal(d)
	var fields map[string]string
	_ = json.Unmarshal(b, &fields)
	all := make([]string, 0, len(fields))
	for _, v := range fields {
		all = append(all, v)
	}
	return all
}

// FuzzParseSecret: no secret is made of nothing, no error and no name shows
// more than four characters of it, and what is accepted verifies.
func FuzzParseSecret(f *testing.F) {
	for _, s := range []string{
		"", "whsec_", "whsec_AAAAAAAAAAAAAAAAAAAAAAAA", webhooktest.Secret, "v1," + webhooktest.Secret, "whsec_...3frh", `"whsec_"`,
	} {
		f.Add(s)
	}
	nothing, err := standardwebhooks.NewWebhookRaw(nil)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, s string) {
		secret, err := geminihook.ParseSecret(s)
		h := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}}
		d := webhooktest.NewBody([]byte("{}"), static{nothing})
		if _, err := h.Verify(context.Background(), d.Header, d.Body); err == nil {
			t.Fatal("an empty key verifies")
		}
		if err != nil {
			require.Equal(t, geminihook.Secret{}, secret)
			if rest := strings.TrimPrefix(s, "whsec_"); len(rest) > 30 {
				require.NotContains(t, err.Error(), rest)
			}
			return
		}
		require.LessOrEqual(t, len(secret.Name()), len("whsec_...")+4)
	})
}

// static signs with a reference signer.
type static struct{ w *standardwebhooks.Webhook }

func (s static) Sign(id string, at time.Time, body []byte) string {
	entry, err := s.w.Sign(id, at, body)
	if err != nil {
		panic(err)
	}
	return entry
}

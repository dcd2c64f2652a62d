package geminihook_test

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook"
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
	keys := &geminihook.Ed25519{Keys: append(publicKeys(1), nil), Tolerance: math.MaxInt64}
	either := geminihook.AnyOf(hmac, keys)
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		header := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature},
		}
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
	f.Fuzz(func(t *testing.T, key, signedWith []byte, id, timestamp string,
		body []byte, before, after string, tamper bool,
	) {
		reference, err := standardwebhooks.NewWebhookRaw(signedWith)
		require.NoError(t, err)
		signature, err := reference.Sign(id, seconds(timestamp), body)
		require.NoError(t, err)
		list := before + signature + after
		header := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {list},
		}
		if tamper {
			body = append(bytes.Clone(body), ' ')
		}
		secret, err := geminihook.NewSecret(key)
		if err != nil || !applies(id, timestamp, list) {
			return
		}
		secrets := []geminihook.Secret{secret}
		ours := &geminihook.HMAC{Secrets: secrets, Tolerance: math.MaxInt64}
		theirs, err := standardwebhooks.NewWebhookRaw(key)
		require.NoError(t, err)
		_, got := ours.Verify(t.Context(), header, body)
		want := theirs.VerifyIgnoringTimestamp(body, header)
		if (got == nil) != (want == nil) {
			t.Fatalf("ours: %v, the reference: %v", got, want)
		}
	})
}

var (
	visibleID    = regexp.MustCompile(`^[!-~]{1,256}$`)
	plainSeconds = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
)

// applies is false if the reference library (v0.0.1) accepts what this package
// refuses on purpose, or the other way around: ids that are no key for a store;
// timestamps such as "+1" and "01", which it formats anew before it signs them; and
// lists that are longer than this package looks at, or that were folded. The clock
// is left out: the reference has no other than its own.
func applies(id, timestamp, list string) bool {
	if !visibleID.MatchString(id) || !plainSeconds.MatchString(timestamp) || len(list) > 4<<10 {
		return false
	}
	entries := strings.Split(list, " ")
	for _, entry := range entries {
		if strings.Count(entry, ",") > 1 {
			return false
		}
	}
	isEmpty := func(entry string) bool { return entry == "" }
	return len(slices.DeleteFunc(entries, isEmpty)) <= 8
}

func seconds(timestamp string) time.Time {
	var n int64
	_ = json.Unmarshal([]byte(strings.TrimLeft(timestamp, "+0")), &n)
	return time.Unix(n, 0)
}

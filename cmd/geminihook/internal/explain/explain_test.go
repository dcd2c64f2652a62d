package explain_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// original is a body in the order of Google's page, with text that encoders
// write in different ways.
const original = `{"type":"batch.failed","version":"v1","timestamp":"2026-01-22T12:00:00Z",` +
	`"data":{"id":"batches/1","error_code":"INVALID_ARGUMENT","error_message":"a < b & \"c\" 😀"},` +
	`"user_metadata":{"customer":"Müller","callback":"https://example.com/é"}}`

var (
	sent   = time.Date(2026, 1, 22, 12, 0, 5, 0, time.UTC)
	static = explain.Keys{Secrets: []string{webhooktest.TestSecret}}
	public = explain.Keys{Dynamic: &geminihook.Ed25519{
		Keys: []ed25519.PublicKey{webhooktest.Public(webhooktest.Key(1))}, Tolerance: math.MaxInt64,
	}}
)

// recorded returns the genuine delivery as a file gives it.
func recorded(t *testing.T, signer webhooktest.Signer) explain.Delivery {
	t.Helper()
	d := webhooktest.NewBody([]byte(original))
	// An id for which the signature has a plus, which can then be lost.
	for n := 0; !strings.Contains(d.Header.Get("webhook-signature"), "+"); n++ {
		d.SetID(fmt.Sprint("msg_", n))
		d.Sign(sent, signer)
	}
	var file bytes.Buffer
	require.NoError(t, d.Write(&file))
	d, err := webhooktest.Read(&file)
	require.NoError(t, err)
	return explain.Delivery{
		Name: "genuine.http", Header: d.Header, Body: d.Body, Expected: int64(len(d.Body)),
	}
}

// breakage is one thing that goes wrong with a delivery.
type breakage struct {
	name   string
	damage func(d *explain.Delivery) // nil leaves the delivery as it is
	keys   explain.Keys
	now    time.Time
	others []explain.Delivery
	cause  explain.Cause
	hint   string // part of the only hint
}

// header sets a header to the lines, or deletes it if there are none.
func header(name string, lines ...string) func(*explain.Delivery) {
	return func(d *explain.Delivery) {
		delete(d.Header, name)
		if len(lines) > 0 {
			d.Header[name] = lines
		}
	}
}

// signature changes the text of webhook-signature.
func signature(change func(string) []string) func(*explain.Delivery) {
	return func(d *explain.Delivery) { d.Header["Webhook-Signature"] = change(d.Header.Get("Webhook-Signature")) }
}

// body changes the body.
func body(change func(string) string) func(*explain.Delivery) {
	return func(d *explain.Delivery) {
		d.Body = []byte(change(string(d.Body)))
		d.Expected = int64(len(d.Body))
	}
}

// marshal decodes the body and encodes it again, as a program does.
func marshal(indent string, escapeHTML bool) func(*explain.Delivery) {
	return body(func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			panic(err)
		}
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escapeHTML)
		e.SetIndent("", indent)
		if err := e.Encode(v); err != nil {
			panic(err)
		}
		return strings.TrimSuffix(b.String(), "\n")
	})
}

func compressed(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func replace(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// quoted returns the text as a JSON string.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func headerBreakages() []breakage {
	return []breakage{
		{name: "id missing", damage: header("Webhook-Id"), cause: explain.HeaderMissing, hint: "The header webhook-id is missing"},
		{name: "timestamp missing", damage: header("Webhook-Timestamp"), cause: explain.HeaderMissing, hint: "The header webhook-timestamp is missing"},
		{name: "signature missing", damage: header("Webhook-Signature"), cause: explain.HeaderMissing, hint: "The header webhook-signature is missing"},
		{name: "signature empty", damage: header("Webhook-Signature", ""), cause: explain.HeaderMissing, hint: "The header webhook-signature is missing"},
		{name: "two missing", damage: func(d *explain.Delivery) { delete(d.Header, "Webhook-Id"); delete(d.Header, "Webhook-Timestamp") }, cause: explain.HeaderMissing, hint: "webhook-id and the header webhook-timestamp"},
		{name: "all missing", damage: func(d *explain.Delivery) { d.Header = http.Header{} }, cause: explain.HeaderMissing, hint: "perhaps a browser"},
		{name: "id twice", damage: func(d *explain.Delivery) { d.Header.Add("webhook-id", d.Header.Get("webhook-id")) }, cause: explain.HeaderRepeated, hint: "leaving one webhook-id"},
		{name: "every header twice", damage: func(d *explain.Delivery) {
			for name, values := range d.Header {
				d.Header[name] = append(values, values...)
			}
		}, cause: explain.HeaderRepeated, hint: "leaving one webhook-id and leaving one webhook-timestamp"},
		{name: "two ids", damage: func(d *explain.Delivery) { d.Header.Add("webhook-id", "other") }, cause: explain.HeaderRepeated, hint: "leaving one webhook-id"},
		{name: "timestamp folded", damage: header("Webhook-Timestamp", "1769083205, 1769083205"), cause: explain.HeaderRepeated, hint: "leaving one webhook-timestamp"},
		{name: "milliseconds", damage: header("Webhook-Timestamp", "1769083205123"), cause: explain.Milliseconds, hint: "is in milliseconds"},
		{name: "nanoseconds", damage: header("Webhook-Timestamp", "1769083205123456789"), cause: explain.Milliseconds, hint: "is in nanoseconds"},
		{name: "float", damage: header("Webhook-Timestamp", "1769083205.0"), cause: explain.TimestampForm, hint: "as Unix seconds"},
		{name: "RFC 3339", damage: header("Webhook-Timestamp", "2026-01-22T12:00:05Z"), cause: explain.TimestampForm, hint: "as Unix seconds"},
		{name: "plus lost", damage: signature(func(s string) []string { return []string{strings.ReplaceAll(s, "+", " ")} }), cause: explain.PlusLost, hint: `putting "+"`},
		{name: "URL-encoded", damage: signature(func(s string) []string {
			return []string{strings.NewReplacer("+", "%2B", ",", "%2C", "=", "%3D").Replace(s)}
		}), cause: explain.Escaped, hint: "from URL encoding"},
		{name: "split, joined with a space", damage: signature(func(s string) []string { return []string{strings.Replace(s, ",", ", ", 1)} }), cause: explain.HeaderSplit, hint: "joining the parts"},
		{name: "split, in lines with spaces", damage: signature(func(s string) []string { return strings.Split(strings.Replace(s, ",", ", ", 1), ",") }), cause: explain.HeaderSplit, hint: "joining the parts"},
		{name: "split, first part only", damage: signature(func(s string) []string { return strings.Split(s, ",")[:1] }), cause: explain.HeaderSplit, hint: "only the part before"},
		{name: "signature cut", damage: signature(func(s string) []string { return []string{s[:30]} }), cause: explain.Malformed, hint: "another length"},
		{name: "JWT", damage: header("Webhook-Signature", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), cause: explain.JWT, hint: "is a JWT"},
		{name: "other scheme", damage: header("Webhook-Signature", "v2,AAAA"), cause: explain.OtherScheme, hint: "neither a v1 nor a v1a entry"},
		{name: "v1 with a v1a verifier", keys: public, cause: explain.Static, hint: "this is a static webhook"},
	}
}

func bodyBreakages() []breakage {
	return []breakage{
		{name: "keys sorted", damage: marshal("", false), cause: explain.KeyOrder, hint: "with the keys in another order: something decoded"},
		{name: "keys sorted and indented", damage: marshal("  ", false), cause: explain.KeyOrder, hint: "another order and other white space"},
		{name: "keys sorted and escaped", damage: marshal("", true), cause: explain.KeyOrder, hint: "another order and other escapes in its strings: "},
		{name: "spaces, as Python writes them", damage: body(replace(`":"`, `": "`, `":{`, `": {`, `,"`, `, "`)), cause: explain.Spacing, hint: "again with other white space:"},
		{name: "a space after each comma only", damage: body(replace(`,"`, `, "`)), cause: explain.Spacing, hint: "again with other white space:"},
		{name: "indented", damage: body(func(s string) string {
			var b bytes.Buffer
			_ = json.Indent(&b, []byte(s), "", "\t")
			return b.String()
		}), cause: explain.Spacing, hint: "again with other white space:"},
		{name: "slashes escaped", damage: body(replace("/", `\/`)), cause: explain.Escapes, hint: `replacing \/ by /`},
		{name: "unicode escaped", damage: body(replace("ü", `\u00fc`, "é", `\u00e9`, "😀", `\ud83d\ude00`)), cause: explain.Escapes, hint: "again with other escapes in its strings:"},
		{name: "unicode and slashes escaped", damage: body(replace("/", `\/`, "ü", `\u00fc`, "é", `\u00e9`, "😀", `\ud83d\ude00`)), cause: explain.Escapes, hint: "again with other escapes in its strings:"},
		{name: "HTML escaped", damage: body(replace("<", `\u003c`, "&", `\u0026`)), cause: explain.Escapes, hint: "escapes of <, >, and &"},
		{name: "trailing newline", damage: body(func(s string) string { return s + "\n" }), cause: explain.WhiteSpace, hint: "removing a trailing newline"},
		{name: "trailing CRLF", damage: body(func(s string) string { return s + "\r\n" }), cause: explain.WhiteSpace, hint: "removing a trailing newline"},
		{name: "BOM", damage: body(func(s string) string { return "\ufeff" + s }), cause: explain.BOM, hint: "removing a byte order mark"},
		{name: "base64", damage: body(encoded), cause: explain.Base64, hint: "decoding the body from base64:"},
		{name: "base64 in lines", damage: body(func(s string) string { s = encoded(s); return s[:76] + "\r\n" + s[76:] + "\r\n" }), cause: explain.Base64, hint: "decoding the body from base64:"},
		{name: "JSON string", damage: body(quoted), cause: explain.Quoted, hint: "decoding the body from a JSON string:"},
		{name: "gzip", damage: body(compressed), cause: explain.Compressed, hint: "decompressing the body:"},
		{name: "empty", damage: body(func(string) string { return "" }), cause: explain.Empty, hint: "The body is empty"},
		{name: "read before", damage: func(d *explain.Delivery) { d.Body = nil }, cause: explain.Empty, hint: "The body is empty"},
		{name: "truncated", damage: body(func(s string) string { return s[:len(s)-9] }), cause: explain.Truncated, hint: "ends in the middle"},
		{name: "truncated, and its length known", damage: func(d *explain.Delivery) { d.Body = d.Body[:100] }, cause: explain.Truncated, hint: fmt.Sprintf("100 of %d bytes arrived", len(original))},
		{name: "truncated in a string", damage: body(func(s string) string { return s[:20] }), cause: explain.Truncated, hint: "ends in the middle"},
		{name: "not JSON", damage: body(func(string) string { return "payload=1" }), cause: explain.NotJSON, hint: "not a JSON object"},
		{name: "another event's body, older", damage: body(replace("2026-01-22T12:00:00Z", "2026-01-12T12:00:00Z")), cause: explain.OtherBody, hint: "10 days before"},
		{name: "another event's body, newer", damage: body(replace("2026-01-22T12:00:00Z", "2026-01-22T18:00:05Z")), cause: explain.OtherBody, hint: "6h0m0s after"},
	}
}

// check explains one breakage of the recorded delivery and requires its cause
// and nothing else.
func check(t *testing.T, d explain.Delivery, tt *breakage) {
	t.Helper()
	signed := d.Header.Get("webhook-signature")
	if tt.damage != nil {
		tt.damage(&d)
	}
	v := explain.Explain(t.Context(), d, tt.keys, tt.now, tt.others...)
	assert.Equal(t, []explain.Cause{tt.cause}, v.Causes, v.Hints)
	require.Len(t, v.Hints, 1)
	assert.Contains(t, v.Hints[0], tt.hint)
	assert.False(t, v.Genuine)
	assert.NotEmpty(t, v.Reason)
	text := v.Reason + v.Hints[0]
	for _, confidential := range []string{
		webhooktest.TestSecret[8:], signed[4:], "Müller", "INVALID", "callback",
	} {
		assert.NotContains(t, text, confidential)
	}
}

// TestExplain makes each breakage from one genuine recorded delivery.
func TestExplain(t *testing.T) {
	signer := webhooktest.Static(webhooktest.TestSecret)
	genuine := recorded(t, signer)
	another := strings.ReplaceAll(original, "batches/1", "batches/another")
	other := webhooktest.NewBody([]byte(another), signer)
	elsewhere := explain.Delivery{Name: "other.http", Header: other.Header, Body: other.Body}
	foreign := func(d *explain.Delivery) { d.Body = other.Body }
	table := append(headerBreakages(), bodyBreakages()...)
	table = append(
		table,
		breakage{name: "body of another file", damage: foreign, others: []explain.Delivery{{Name: "swapped.http", Header: other.Header, Body: genuine.Body}}, cause: explain.OtherBody, hint: "taking the body of swapped.http"},
		breakage{name: "a few bytes changed", damage: body(replace("batches/1", "batches/2")), others: []explain.Delivery{elsewhere, genuine}, cause: explain.Changed, hint: fmt.Sprintf("differ in 1 of %d bytes", len(original))},
		breakage{name: "replaced, and the secret is right", damage: foreign, others: []explain.Delivery{elsewhere}, cause: explain.OtherWebhook, hint: "verify another of these deliveries"},
		breakage{name: "wrong secret", keys: explain.Keys{Secrets: []string{webhooktest.RandomSecret()}}, cause: explain.Secret, hint: "did not make the signature"},
		breakage{name: "wrong secrets", keys: explain.Keys{Secrets: []string{webhooktest.RandomSecret(), webhooktest.RandomSecret()}}, cause: explain.Secret, hint: "None of the secrets whsec_..."},
		// Its name equals that of the right one:
		breakage{name: "damaged secret", keys: explain.Keys{Secrets: []string{webhooktest.RandomSecret()[:40] + webhooktest.TestSecret[40:]}}, cause: explain.Secret, hint: "whsec_...MDAx did not make the signature"},
		breakage{name: "damaged secret, in words", keys: explain.Keys{Secrets: []string{webhooktest.RandomSecret()[:40] + webhooktest.TestSecret[40:]}}, cause: explain.Secret, hint: "If they are the same, it may be the secret nonetheless"},
		breakage{name: "text of the secret as key", keys: explain.Keys{Secrets: []string{webhooktest.TestSecret}}, damage: func(d *explain.Delivery) {
			text := base64.StdEncoding.EncodeToString([]byte(webhooktest.TestSecret))
			raw := webhooktest.Static(text)
			d.Header.Set("webhook-signature", raw.Sign(d.Header.Get("webhook-id"), sent, d.Body))
		}, cause: explain.RawSecret, hint: "the text of the secret as the key"},
		breakage{
			name: "clock fast", now: sent.Add(17 * time.Minute), cause: explain.ClockFast,
			hint: "17m0s before the time on the receiver's clock, which is fast by that much",
		},
		breakage{name: "clock slow", now: sent.Add(-3 * time.Hour), cause: explain.ClockSlow, hint: "3h0m0s after the time on the receiver's clock, which is slow by that much"},
		breakage{name: "replayed", now: sent.Add(240 * time.Hour), cause: explain.Replayed, hint: "time.Unix(1769083205, 0)"},
	)
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) {
			if tt.keys.Secrets == nil && tt.keys.Dynamic == nil {
				tt.keys = static
			}
			d := genuine
			d.Header = genuine.Header.Clone()
			check(t, d, &tt)
		})
	}
}

// TestExplainDynamic makes the breakages of the body from a dynamic delivery.
func TestExplainDynamic(t *testing.T) {
	genuine := recorded(t, webhooktest.Dynamic(webhooktest.Key(1)))
	table := append(
		bodyBreakages(),
		breakage{name: "v1a with a v1 verifier", keys: static, cause: explain.Dynamic, hint: "this is a dynamic webhook"},
		breakage{
			name: "forged", damage: body(replace("batches/1", "batches/2")),
			cause: explain.Forged, hint: "None of the public keys",
		},
		breakage{name: "plus lost", damage: signature(func(s string) []string {
			return []string{strings.ReplaceAll(s, "+", " ")}
		}), cause: explain.PlusLost, hint: `putting "+"`},
		breakage{name: "clock slow", now: sent.Add(-time.Hour), cause: explain.ClockSlow, hint: "slow by that much"},
	)
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) {
			if tt.keys.Secrets == nil {
				tt.keys = public
			}
			d := genuine
			d.Header = genuine.Header.Clone()
			check(t, d, &tt)
		})
	}
}

package geminihook_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The reasons for which headers are refused.
const (
	malformedID        = "webhook-id must be 1 to 256 bytes of visible ASCII"
	malformedTimestamp = "webhook-timestamp must be Unix seconds in decimal digits, " +
		"without a sign or leading zero"
	missingSignature = "webhook-signature is missing: the request is not a signed delivery, " +
		"or a proxy drops the header"
	milliseconds = "webhook-timestamp is in milliseconds, but must be in seconds"
)

// counted is the reason if a header is not present exactly once.
func counted(name string, n int) string {
	return fmt.Sprintf("%s must be present exactly once, but the request has %d: "+
		"the request is not a Standard Webhooks delivery, "+
		"or a proxy drops or repeats the header", name, n)
}

// TestHeaders has the forms that the vectors lack.
func TestHeaders(t *testing.T) {
	const sent = 1_779_364_800
	sign := func(id string) http.Header {
		d := &webhooktest.Delivery{Header: http.Header{"Webhook-Id": {id}}, Body: []byte("{}")}
		return d.Sign(time.Unix(sent, 0), signer).Header
	}
	with := func(name string, values ...string) http.Header {
		h := sign("msg_1")
		h[name] = values
		return h
	}
	valid := sign("msg_1").Get("webhook-signature")
	unpadded := strings.TrimRight(valid, "=")
	urlAlphabet := strings.NewReplacer("+", "-", "/", "_").Replace(valid) + "x"
	v := newVerifier(t)
	v.Now = func() time.Time { return time.Unix(sent, 0) }
	for _, tt := range []struct {
		name   string
		header http.Header
		kind   error
		reason string
	}{
		{"good", sign("msg_1"), nil, ""},
		{"no header", nil, geminihook.ErrHeader, counted("webhook-id", 0)},
		{"no id", with("Webhook-Id"), geminihook.ErrHeader, counted("webhook-id", 0)},
		{"two ids", with("Webhook-Id", "msg_1", "msg_2"), geminihook.ErrHeader, counted("webhook-id", 2)},
		{"the same id twice", with("Webhook-Id", "msg_1", "msg_1"), geminihook.ErrHeader, counted("webhook-id", 2)},
		{"empty id", sign(""), geminihook.ErrHeader, malformedID},
		{"id of 256 bytes", sign(strings.Repeat("x", 256)), nil, ""},
		{"id of 257 bytes", sign(strings.Repeat("x", 257)), geminihook.ErrHeader, malformedID},
		{"id with every visible character", sign("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), nil, ""},
		{"id with a space", sign("msg 1"), geminihook.ErrHeader, malformedID},
		{"id with a tab", sign("msg\t1"), geminihook.ErrHeader, malformedID},
		{"id with NUL", sign("msg\x001"), geminihook.ErrHeader, malformedID},
		{"id with DEL", sign("msg\x7f1"), geminihook.ErrHeader, malformedID},
		{"id in UTF-8", sign("mśg"), geminihook.ErrHeader, malformedID},
		{"no timestamp", with("Webhook-Timestamp"), geminihook.ErrHeader, counted("webhook-timestamp", 0)},
		{"three timestamps", with("Webhook-Timestamp", "1779364800", "1779364800", "1779364800"), geminihook.ErrHeader, counted("webhook-timestamp", 3)},
		{"empty timestamp", with("Webhook-Timestamp", ""), geminihook.ErrHeader, malformedTimestamp},
		{"timestamp zero", with("Webhook-Timestamp", "0"), geminihook.ErrHeader, malformedTimestamp},
		{"timestamp of twenty digits", with("Webhook-Timestamp", "10000000000000000000"), geminihook.ErrHeader, malformedTimestamp},
		{"largest timestamp", with("Webhook-Timestamp", strconv.FormatInt(math.MaxInt64, 10)), geminihook.ErrTimestamp, milliseconds},
		{"timestamp beyond time.Time", with("Webhook-Timestamp", "9223372036854775000"), geminihook.ErrTimestamp, milliseconds},
		{"no signature", with("Webhook-Signature"), geminihook.ErrHeader, missingSignature},
		{"empty signature", with("Webhook-Signature", ""), geminihook.ErrHeader, missingSignature},
		{"blank signature", with("Webhook-Signature", "  "), geminihook.ErrHeader, missingSignature},
		{"only commas", with("Webhook-Signature", ",, ,"), geminihook.ErrHeader, missingSignature},
		{"more after the signature", with("Webhook-Signature", valid+",more"), geminihook.ErrSignature, noV1Entry},
		{"signature without padding", with("Webhook-Signature", unpadded), geminihook.ErrSignature, secretMismatch},
		{"signature in the URL alphabet", with("Webhook-Signature", urlAlphabet), geminihook.ErrSignature, secretMismatch},
		{"capital version", with("Webhook-Signature", "V1"+valid[2:]), geminihook.ErrSignature, noV1Entry},
		{"space in place of the comma", with("Webhook-Signature", "v1 "+valid[3:]), geminihook.ErrSignature, secretMismatch},
		{"tab between entries", with("Webhook-Signature", "v1,AAAA\t"+valid), geminihook.ErrSignature, noV1Entry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), tt.header, []byte("{}"))
			requireVerdict(t, err, tt.kind, tt.reason)
		})
	}
}

// lowerCase returns a header map as serverless adapters make it.
func lowerCase(header http.Header) http.Header {
	lower := http.Header{}
	for name, values := range header {
		lower[strings.ToLower(name)] = values
	}
	return lower
}

// TestHeaderNames: the canonical form and the one in lower case count together.
func TestHeaderNames(t *testing.T) {
	d := webhooktest.NewBody([]byte("{}"), signer)
	with := func(name string, values ...string) http.Header {
		h := d.Header.Clone()
		h[name] = values
		return h
	}
	lower := func(name string, values ...string) http.Header {
		h := lowerCase(d.Header)
		h[name] = values
		return h
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		kind   error
		reason string
	}{
		{"lower case", lowerCase(d.Header), nil, ""},
		{"lower case, two ids", lower("webhook-id", "msg_1", "msg_2"), geminihook.ErrHeader, counted("webhook-id", 2)},
		{"lower case, no timestamp", lower("webhook-timestamp"), geminihook.ErrHeader, counted("webhook-timestamp", 0)},
		{"lower case, no signature", lower("webhook-signature"), geminihook.ErrHeader, missingSignature},
		{"id in both", with("webhook-id", d.ID()), geminihook.ErrHeader, counted("webhook-id", 2)},
		{"three ids in both", with("webhook-id", d.ID(), "msg_2"), geminihook.ErrHeader, counted("webhook-id", 3)},
		{"timestamp in both", with("webhook-timestamp", "1"), geminihook.ErrHeader, counted("webhook-timestamp", 2)},
		{"signature in both", with("webhook-signature", "v1,AAAA"), nil, ""},
		{"signature in both, the good one in lower case", lower("Webhook-Signature", "v1,AAAA"), nil, ""},
		{"empty list in lower case", with("webhook-id"), nil, ""},
		{"capitals", http.Header{"WEBHOOK-ID": {"msg_1"}}, geminihook.ErrHeader, counted("webhook-id", 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newVerifier(t).Verify(t.Context(), tt.header, d.Body)
			requireVerdict(t, err, tt.kind, tt.reason)
		})
	}
}

// TestEndpointHeaderNames: an endpoint reads the webhook-id as its verifier does.
func TestEndpointHeaderNames(t *testing.T) {
	d := newBatch()
	twice := d.Header.Clone()
	twice["webhook-id"] = []string{d.ID()}
	malformed := d.Header.Clone()
	malformed["Webhook-Id"] = []string{"msg 1"}
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
		id     string
	}{
		{"canonical", d.Header, 200, d.ID()},
		{"lower case", lowerCase(d.Header), 200, d.ID()},
		{"both", twice, 400, ""},
		{"neither", http.Header{}, 400, ""},
		{"malformed", malformed, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got geminihook.Outcome
			e := &geminihook.Endpoint{
				Verifier: newVerifier(t), Logger: slog.New(slog.DiscardHandler),
				Observe: func(_ context.Context, o geminihook.Outcome) { got = o },
			}
			r := d.Request("/")
			r.Header = tt.header
			e.Handler(succeed).ServeHTTP(httptest.NewRecorder(), r)
			assert.Equal(t, tt.status, got.Status)
			assert.Equal(t, tt.id, got.ID)
		})
	}
}

// TestOutcomeIDIsCopied: a server may reuse the memory of a request.
func TestOutcomeIDIsCopied(t *testing.T) {
	var got geminihook.Outcome
	e := &geminihook.Endpoint{
		Verifier: newVerifier(t), Logger: slog.New(slog.DiscardHandler),
		Observe: func(_ context.Context, o geminihook.Outcome) { got = o },
	}
	memory := []byte("msg_1")
	d := newBatch().WrongSecret()
	d.Header["Webhook-Id"] = []string{unsafe.String(unsafe.SliceData(memory), len(memory))}
	e.Handler(succeed).ServeHTTP(httptest.NewRecorder(), d.Request("/"))
	copy(memory, "#####")
	assert.Equal(t, "msg_1", got.ID)
}

func TestTolerance(t *testing.T) {
	const sent = 1_779_364_800
	d := newBatch().Sign(time.Unix(sent, 0), signer)
	refused := func(off, tolerance string) string {
		return "the delivery is " + off + " this machine's clock, " +
			"and the tolerance is " + tolerance + ": set the clock, " +
			"unless the delivery is forged or an old one is replayed " +
			"(Google signs each retry afresh)"
	}
	for _, tt := range []struct {
		name           string
		tolerance, off time.Duration
		reason         string // empty if it is accepted
	}{
		{"default, at the edge", 0, 5 * time.Minute, ""},
		{"default, a nanosecond past it", 0, 5*time.Minute + 1, refused("5m0s behind", "5m0s")},
		{"default, early, at the edge", 0, -5 * time.Minute, ""},
		{"default, early, a nanosecond past it", 0, -5*time.Minute - 1, refused("5m0s ahead of", "5m0s")},
		{"a second", time.Second, time.Second, ""},
		{"a second, past it", time.Second, 2 * time.Second, refused("2s behind", "1s")},
		{"a second, early, past it", time.Second, -2 * time.Second, refused("2s ahead of", "1s")},
		{"a day", 24 * time.Hour, 23 * time.Hour, ""},
		{"negative", -time.Hour, 0, refused("0s behind", "-1h0m0s")},
		{"largest, and a clock at zero", math.MaxInt64, -sent * time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t)
			v.Tolerance = tt.tolerance
			v.Now = func() time.Time { return time.Unix(sent, 0).Add(tt.off) }
			_, err := v.Verify(t.Context(), d.Header, d.Body)
			if tt.reason == "" {
				require.NoError(t, err)
				return
			}
			requireVerdict(t, err, geminihook.ErrTimestamp, tt.reason)
		})
	}
}

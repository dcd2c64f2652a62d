package geminihook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSignatureEntries: a header full of v1a entries costs a bounded number of
// verifications, because only eight entries and sixteen keys are looked at.
func TestSignatureEntries(t *testing.T) {
	kt := newKeySetTest(t, 1)
	d := webhooktest.New(geminihook.EventVideoGenerated).Sign(at, webhooktest.Dynamic(webhooktest.Key(1)))
	valid := d.Header.Get("webhook-signature")
	bad := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
	for n, want := range map[int]error{0: nil, 7: nil, 8: geminihook.ErrSignature} {
		d.Header.Set("webhook-signature", strings.Repeat(bad+" ", n)+valid)
		_, err := kt.Verify(t.Context(), d.Header, d.Body)
		require.ErrorIs(t, err, want, "%d before it", n)
	}
}

// TestHeaders has the forms that the vectors lack.
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
		{"ninth entry, in a separate line", with("webhook-signature", strings.Repeat("v1,AAAA ", 8), valid), geminihook.ErrSignature},
		{"more after the signature", with("webhook-signature", valid+",more"), geminihook.ErrSignature},
		{"signature without padding", with("webhook-signature", strings.TrimRight(valid, "=")), geminihook.ErrSignature},
		{"signature in the URL alphabet", with("webhook-signature", strings.NewReplacer("+", "-", "/", "_").Replace(valid)+"x"), geminihook.ErrSignature},
		{"capital version", with("webhook-signature", "V1"+valid[2:]), geminihook.ErrSignature},
		{"tab between entries", with("webhook-signature", "v1,AAAA\t"+valid), geminihook.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t)
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
			v := newVerifier(t)
			v.Tolerance, v.Now = tt.tolerance, func() time.Time { return time.Unix(sent, 0).Add(tt.off) }
			_, err := v.Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, tt.want)
		})
	}
}

// TestRepeatedHeaders: the error names the header and how many there were.
func TestRepeatedHeaders(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		values       []string
		want         string
	}{
		{"no id", "Webhook-Id", nil, "webhook-id must be present exactly once, but the request has 0"},
		{"two ids", "Webhook-Id", []string{"msg_1", "msg_2"}, "webhook-id must be present exactly once, but the request has 2"},
		{"no timestamp", "Webhook-Timestamp", nil, "webhook-timestamp must be present exactly once, but the request has 0"},
		{"three timestamps", "Webhook-Timestamp", []string{"1", "1", "1"}, "webhook-timestamp must be present exactly once, but the request has 3"},
		{"no signature", "Webhook-Signature", nil, "webhook-signature is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newBatch()
			d.Header[tt.header] = tt.values
			if tt.values == nil {
				delete(d.Header, tt.header)
			}
			_, err := newVerifier(t).Verify(t.Context(), d.Header, d.Body)
			require.ErrorIs(t, err, geminihook.ErrHeader)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

// splitAtCommas is what httpadapter.NewV2 of aws-lambda-go-api-proxy makes of
// the headers of a request to the AWS HTTP API, version 2.
func splitAtCommas(header http.Header) http.Header {
	split := http.Header{}
	for name, values := range header {
		for _, value := range values {
			for part := range strings.SplitSeq(value, ",") {
				split.Add(name, strings.Trim(part, " "))
			}
		}
	}
	return split
}

// TestSignatureLists: lists that something on the way has folded or split.
func TestSignatureLists(t *testing.T) {
	const (
		other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
		jwt   = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
	)
	for _, tt := range []struct {
		name  string
		lines []string // "good" stands for the valid entry
		want  string   // empty if it is accepted
	}{
		{"one entry", []string{"good"}, ""},
		{"two entries", []string{other + " good"}, ""},
		{"two entries, the good one first", []string{"good " + other}, ""},
		{"entry of an unknown scheme first", []string{"v2,x.y:z good"}, ""},
		{"v1a entry first", []string{"v1a,AAAA good"}, ""},
		{"only another", []string{other}, "no v1 entry matches"},
		{"JWT", []string{jwt}, "webhook-signature is a JWT"},
		{"folded lines", []string{"good, " + other}, ""},
		{"folded lines, no space", []string{"good," + other}, ""},
		{"folded lines, the good one last", []string{other + ", good"}, ""},
		{"folded lines, no space, the good one last", []string{other + ",good"}, ""},
		{"three folded lines", []string{other + "," + other + "x,good"}, ""},
		{"folded lines of two entries", []string{other + " " + other + "x, good " + other + "y"}, ""},
		{"folded with a v1a entry", []string{"v1a,AAAA, good"}, ""},
		{"folded before a v1a entry", []string{"good,v1a,AAAA"}, ""},
		{"several lines", []string{other, "good"}, ""},
		{"several lines, the good one first", []string{"good", other}, ""},
		{"several lines, one of them folded", []string{other + "," + other + "x", other + "y,good"}, ""},
		{"folded, only others", []string{other + ", " + other + "x"}, "no v1 entry matches"},
	} {
		d := newBatch()
		good := d.Header.Get("webhook-signature")
		header := d.Header.Clone()
		header.Del("webhook-signature")
		for _, line := range tt.lines {
			header.Add("webhook-signature", strings.ReplaceAll(line, "good", good))
		}
		for name, header := range map[string]http.Header{"as sent": header, "split at commas": splitAtCommas(header)} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				_, err := newVerifier(t).Verify(t.Context(), header, d.Body)
				if tt.want == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, geminihook.ErrSignature)
				assert.ErrorContains(t, err, tt.want)
			})
		}
	}
}

// TestHostileLists: a list as long as net/http lets it be costs no more memory
// than its lines, joined once, and so no time that grows with their square.
func TestHostileLists(t *testing.T) {
	const size = 1 << 20
	for name, entry := range map[string]string{
		"spaces": " ", "commas": ",", "folded and empty": ",, ", "folded": "v1,A,", "entries": "v1,A ", "no commas": "v1 ",
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t)
			h := newBatch().Header
			h["Webhook-Signature"] = []string{strings.Repeat(entry, size/len(entry)), "v1,AAAA"}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := v.Verify(t.Context(), h, nil)
			runtime.ReadMemStats(&after)
			require.Error(t, err)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*size))
		})
	}
}

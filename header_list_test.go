package geminihook_test

import (
	"encoding/base64"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// splitAtCommas is what httpadapter.NewV2 of aws-lambda-go-api-proxy makes of
// the headers of a request to the AWS HTTP API, version 2.
func splitAtCommas(lines []string) (split []string) {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			split = append(split, strings.Trim(part, " "))
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
		name   string
		lines  []string // "good" stands for the valid entry
		reason string   // empty if it is accepted
	}{
		{"one entry", []string{"good"}, ""},
		{"two entries", []string{other + " good"}, ""},
		{"two entries, the good one first", []string{"good " + other}, ""},
		{"double space between entries", []string{other + "  good"}, ""},
		{"entry of an unknown scheme first", []string{"v2,x.y:z good"}, ""},
		{"v1a entry first", []string{"v1a,AAAA good"}, ""},
		{"only another", []string{other}, secretMismatch},
		{"JWT", []string{jwt}, notAJWT},
		{"eighth entry", []string{strings.Repeat(other+" ", 7) + "good"}, ""},
		{"ninth entry", []string{strings.Repeat(other+" ", 8) + "good"}, secretMismatch},
		{"eighth entry, folded", []string{strings.Repeat(other+",", 7) + "good"}, ""},
		{"ninth entry, folded", []string{strings.Repeat(other+",", 8) + "good"}, secretMismatch},
		{"folded lines", []string{"good, " + other}, ""},
		{"folded lines, no space", []string{"good," + other}, ""},
		{"folded lines, the good one last", []string{other + ", good"}, ""},
		{"folded lines, no space, the good one last", []string{other + ",good"}, ""},
		{"three folded lines", []string{other + "," + other + "x,good"}, ""},
		{"folded lines of two entries", []string{other + " " + other + "x, good " + other + "y"}, ""},
		{"folded after a v1a entry", []string{"v1a,AAAA, good"}, ""},
		{"folded before a v1a entry", []string{"good,v1a,AAAA"}, ""},
		{"folded after an entry of an unknown scheme", []string{"v2,AAAA,good"}, ""},
		{"folded before an entry of an unknown scheme", []string{"good,v2,AAAA"}, ""},
		{"folded between unknown schemes", []string{"v3,A,good,ed448,B,v1,C"}, ""},
		{"several lines", []string{other, "good"}, ""},
		{"several lines, the good one first", []string{"good", other}, ""},
		{"several lines, one of them folded", []string{other + "," + other + "x", other + "y,good"}, ""},
		{"several lines, the ninth entry", []string{strings.Repeat(other+" ", 8), "good"}, secretMismatch},
		{"folded, only others", []string{other + ", " + other + "x"}, secretMismatch},
	} {
		d := newBatch()
		good := d.Header.Get("webhook-signature")
		lines := slices.Clone(tt.lines)
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], "good", good)
		}
		check := func(t *testing.T, lines []string) {
			d.Header["Webhook-Signature"] = lines
			_, err := newVerifier(t).Verify(t.Context(), d.Header, d.Body)
			if tt.reason == "" {
				require.NoError(t, err)
				return
			}
			requireVerdict(t, err, geminihook.ErrSignature, tt.reason)
		}
		t.Run(tt.name, func(t *testing.T) { check(t, lines) })
		t.Run(tt.name+", split at commas", func(t *testing.T) { check(t, splitAtCommas(lines)) })
	}
}

// TestLinesBesideOthers: a line that is no entry does not hide those of other lines.
func TestLinesBesideOthers(t *testing.T) {
	for name, line := range map[string]string{
		"JWT": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "empty": "", "word": "v1", "odd": "v1,AAAA,v1",
	} {
		t.Run(name, func(t *testing.T) {
			d := newBatch()
			good := d.Header.Get("webhook-signature")
			for _, lines := range [][]string{{line, good}, {good, line}} {
				d.Header["Webhook-Signature"] = lines
				_, err := newVerifier(t).Verify(t.Context(), d.Header, d.Body)
				require.NoError(t, err)
			}
		})
	}
}

// TestListsAgainstSpecification: whatever carries a list of at most eight
// entries, the verdict is the reference library's on the list as it was sent.
func TestListsAgainstSpecification(t *testing.T) {
	d := newBatch()
	good := strings.TrimPrefix(d.Header.Get("webhook-signature"), "v1,")
	reference, err := standardwebhooks.NewWebhook(webhooktest.TestSecret)
	require.NoError(t, err)
	versions := []string{"v1", "v1", "v1a", "v2", "v10", "V1", "hmac"}
	values := []string{good, good[:43], "A" + good[1:], "AAAA", "v1", "x.y:z"}
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 1000 {
		entries := make([]string, 1+random.IntN(8))
		for i := range entries {
			version := versions[random.IntN(len(versions))]
			value := values[random.IntN(len(values))]
			entries[i] = version + "," + value
		}
		list := strings.Join(entries, " ")
		split := 1 + random.IntN(len(entries))
		mixed := strings.Join(entries[:split], " ") + "," + strings.Join(entries[split:], " ")
		folded := strings.Join(entries[split:], ",")
		d.Header["Webhook-Signature"] = []string{list}
		want := reference.Verify(d.Body, d.Header) == nil
		if want {
			accepted++
		}
		for form, lines := range map[string][]string{
			"as sent":                {list},
			"a line per entry":       entries,
			"folded":                 {strings.Join(entries, ", ")},
			"folded, no space":       {strings.Join(entries, ",")},
			"folded, some of it":     {mixed},
			"split at commas":        splitAtCommas([]string{list}),
			"folded, split again":    splitAtCommas([]string{strings.Join(entries, ", ")}),
			"two lines":              {strings.Join(entries[:split], " "), folded},
			"empty lines around it":  {"", list, ""},
			"blanks and commas more": {" , " + strings.Join(entries, " , ") + ", "},
		} {
			d.Header["Webhook-Signature"] = lines
			_, err := newVerifier(t).Verify(t.Context(), d.Header, d.Body)
			require.Equal(t, want, err == nil, "%s: %q: %v", form, lines, err)
		}
	}
	assert.Greater(t, accepted, 100)
	assert.Less(t, accepted, 900)
}

// TestHostileLists: only the first 4 KiB of a list are looked at, and a list as
// long as net/http lets it be costs no more memory than its lines, joined once. So
// it costs no time that grows with the square of its length.
func TestHostileLists(t *testing.T) {
	const size = 1 << 20
	for name, filler := range map[string]string{
		"spaces": " ", "commas": ",", "commas and spaces": ",, ", "folded": "v1,A,",
		"entries": "v1,A ", "no commas": "v1 ", "long values": strings.Repeat("A", 5000),
	} {
		hostile := strings.Repeat(filler, size/len(filler))
		for lines, list := range map[string][]string{
			"one line": {hostile}, "two lines": {hostile, "v1,AAAA"},
		} {
			t.Run(name+", "+lines, func(t *testing.T) {
				v, d := newVerifier(t), newBatch()
				d.Header["Webhook-Signature"] = list
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := v.Verify(t.Context(), d.Header, d.Body)
				runtime.ReadMemStats(&after)
				require.Error(t, err)
				most := uint64(64 << 10) // the error, and what the runtime does besides
				if len(list) > 1 {
					most += 2 * size
				}
				assert.Less(t, after.TotalAlloc-before.TotalAlloc, most)
			})
		}
	}
	t.Run("the first 4 KiB", func(t *testing.T) {
		v, d := newVerifier(t), newBatch()
		good := d.Header.Get("webhook-signature")
		for _, separator := range []string{" ", ","} {
			list := strings.Repeat(separator, 4<<10-len(good)) + good
			d.Header.Set("webhook-signature", list)
			_, err := v.Verify(t.Context(), d.Header, d.Body)
			require.NoError(t, err)
			d.Header.Set("webhook-signature", separator+list)
			_, err = v.Verify(t.Context(), d.Header, d.Body)
			requireVerdict(t, err, geminihook.ErrSignature, secretMismatch)
		}
	})
}

// badEntry is a "v1a" entry that matches no key, another for each n.
func badEntry(n byte) string {
	signature := make([]byte, 64)
	signature[0] = n
	return "v1a," + base64.StdEncoding.EncodeToString(signature)
}

// setUnusedBit changes a bit of padded base64 that lenient decoders skip.
func setUnusedBit(entry string) string {
	last := len(entry) - len("x==")
	return entry[:last] + string(entry[last]+1) + entry[last+1:]
}

// TestEd25519Entries counts the verifications by the positions at which a good
// entry is still found: at most three distinct v1a entries are looked at, equal
// ones once, and at most eight entries of any kind.
func TestEd25519Entries(t *testing.T) {
	distinct := func(n int) string {
		entries := make([]string, n)
		for i := range entries {
			entries[i] = badEntry(byte(i))
		}
		return strings.Join(entries, " ")
	}
	repeat := func(n int, entry string) string {
		return strings.Join(slices.Repeat([]string{entry}, n), " ")
	}
	for _, tt := range []struct {
		name    string
		entries string // "good" stands for the valid entry
		reason  string // empty if it is accepted
	}{
		{"first", "good", ""},
		{"second", distinct(1) + " good", ""},
		{"third", distinct(2) + " good", ""},
		{"fourth", distinct(3) + " good", publicKeyMismatch},
		{"eighth", distinct(7) + " good", publicKeyMismatch},
		{"before seven others", "good " + distinct(7), ""},
		{"after four equal", repeat(4, badEntry(0)) + " good", ""},
		{"after seven equal", repeat(7, badEntry(0)) + " good", ""},
		{"after eight equal", repeat(8, badEntry(0)) + " good", publicKeyMismatch},
		{"after two distinct, each twice", distinct(2) + " " + distinct(2) + " good", ""},
		{"after three distinct, each twice", distinct(3) + " " + distinct(3) + " good", publicKeyMismatch},
		{"good one repeated", "good good good", ""},
		{"after v1 entries", repeat(7, "v1,AAAA") + " good", ""},
		{"after v1 and two v1a entries", "v1,A v1,B v1,C " + distinct(2) + " good", ""},
		{"after v1 and three v1a entries", "v1,A v1,B v1,C " + distinct(3) + " good", publicKeyMismatch},
		{"with unused bits that are not zero", "unused", publicKeyMismatch},
		{"after three that are no signatures", "v1a,AAAA v1a,BBBB v1a,CCCC good", publicKeyMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := newTestKeySet(t, 0, 1, 2)
			fixed := &geminihook.Ed25519{Keys: publicKeys(1), Now: ks.clock.Now}
			d := newDynamic(1, at)
			good := d.Header.Get("webhook-signature")
			entries := strings.NewReplacer("good", good, "unused", setUnusedBit(good))
			d.Header.Set("webhook-signature", entries.Replace(tt.entries))
			for _, v := range []geminihook.Verifier{ks.keys, fixed} {
				_, err := v.Verify(t.Context(), d.Header, d.Body)
				if tt.reason == "" {
					require.NoError(t, err)
				} else {
					requireVerdict(t, err, geminihook.ErrSignature, tt.reason)
				}
			}
		})
	}
}

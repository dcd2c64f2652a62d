package doctor_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCause: what makes an endpoint refuse a genuine delivery is named, and nothing
// else is.
func TestCause(t *testing.T) {
	other := webhooktest.RandomSecret()
	for _, tt := range []struct {
		name  string
		holes holes
		want  string
	}{
		{"another secret", holes{secret: &other}, "Deploy this secret"},
		{"clock behind", holes{clock: -8 * time.Minute}, "Its clock is behind by 2 to 12 minutes"},
		{"clock ahead", holes{clock: 8 * time.Minute}, "Its clock is ahead by 2 to 12 minutes"},
		{"sorted keys", holes{encoder: compact}, "sorted and without white space"},
		{"a newline", holes{encoder: withNewline}, "sorted and with a newline"},
		{"spaces", holes{encoder: spaced}, "with a space after each comma"},
		{"indented", holes{encoder: indented}, "indented by two spaces"},
		{"type refused, in other words", holes{unknownType: 400}, "has verified this one"},
		{"type refused, with another status", holes{unknownType: 400, fails: 401}, "has verified this one"},
		{"type refused with 401", holes{unknownType: 401}, "has verified this one"},
		{"headers split at commas", holes{splits: true}, "splits the headers at their commas"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			results := check(t, &receiver{holes: tt.holes, seen: map[string]int{}}, shared)
			require.Equal(t, "genuine delivery", results[0].Check)
			assert.Equal(t, doctor.Failure, results[0].Level)
			assert.Contains(t, results[0].Do, tt.want)
			assert.NotContains(t, results[0].Do, "Either")
		})
	}
}

// TestCauseRotation: an endpoint that has an older secret only is told from one that
// has none of them.
func TestCauseRotation(t *testing.T) {
	newest := webhooktest.RandomSecret()
	results := check(t, &receiver{seen: map[string]int{}}, newest, shared)
	assert.Contains(t, results[0].Do, "It has the secret "+shortName(shared)+", but not yet")
}

// TestCauseDate: a clock that is far off is found by the Date of the response.
func TestCauseDate(t *testing.T) {
	for _, away := range []time.Duration{-3 * time.Hour, 40 * time.Minute} {
		h := &receiver{holes: holes{clock: away}, seen: map[string]int{}}
		results := check(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(away).UTC().Format(http.TimeFormat))
			h.ServeHTTP(w, r)
		}), shared)
		assert.Contains(t, results[0].Do, "by about "+away.Abs().String())
	}
}

func shortName(secret string) string { return "whsec_..." + secret[len(secret)-4:] }

func compact(v any) []byte { return bytes.TrimSpace(withNewline(v)) }

func withNewline(v any) []byte {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v)
	return b.Bytes()
}

func indented(v any) []byte {
	b, _ := json.MarshalIndent(v, "", "  ")
	return b
}

// spaced writes JSON as Python does by default.
func spaced(v any) []byte {
	object, isObject := v.(map[string]any)
	if !isObject {
		return compact(v)
	}
	var members [][]byte
	for _, name := range slices.Sorted(maps.Keys(object)) {
		members = append(members, slices.Concat(compact(name), []byte(": "), spaced(object[name])))
	}
	return slices.Concat([]byte("{"), bytes.Join(members, []byte(", ")), []byte("}"))
}

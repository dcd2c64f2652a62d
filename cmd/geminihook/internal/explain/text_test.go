package explain_test

import (
	"encoding/binary"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// message is a body with letters of which every conversion changes some.
const message = `{"type":"batch.failed","version":"v1","timestamp":"2026-01-22T12:00:00Z",` +
	`"data":{"id":"batches/1","error_message":"Müller zahlt 5 € & mehr"}}`

// latin1 encodes a text in Windows-1252.
func latin1(s string) string {
	text, err := charmap.Windows1252.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return text
}

// doubled takes the bytes of a text for Windows-1252.
func doubled(s string) string {
	text, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		panic(err)
	}
	return text
}

// doubledISO takes the bytes of a text for Latin-1 in the narrow sense.
func doubledISO(s string) string {
	text, err := charmap.ISO8859_1.NewDecoder().String(s)
	if err != nil {
		panic(err)
	}
	return text
}

func wide(order binary.AppendByteOrder, mark string) func(string) string {
	return func(s string) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune(mark + s)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
}

// explained returns the verdict on a body that was signed and then changed.
func explained(t *testing.T, signed, arrived string) explain.Verdict {
	t.Helper()
	d := webhooktest.NewBody([]byte(signed)).Sign(sent, webhooktest.Static(webhooktest.TestSecret))
	return explain.Explain(t.Context(), explain.Delivery{
		Header: d.Header, Body: []byte(arrived), Expected: int64(len(arrived)),
	}, static, sent)
}

// TestConversions: a text that was decoded and encoded on the way is not blamed on the
// secret.
func TestConversions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(string) string
		cause  explain.Cause
		hint   string
	}{
		{"UTF-8 taken for Windows-1252", doubled, explain.Characters, "taking the body's UTF-8 apart"},
		{"UTF-8 taken for Latin-1", doubledISO, explain.Characters, "taking the body's UTF-8 apart"},
		{"twice", func(s string) string { return doubled(doubled(s)) }, explain.Characters, "once more and taking"},
		{"Windows-1252", latin1, explain.Characters, "from Latin-1 or Windows-1252"},
		{"UTF-16", wide(binary.LittleEndian, ""), explain.Characters, "from UTF-16"},
		{"UTF-16 with a mark", wide(binary.LittleEndian, "\ufeff"), explain.Characters, "from UTF-16"},
		{"UTF-16, big-endian", wide(binary.BigEndian, "\ufeff"), explain.Characters, "from UTF-16"},
		{"letters and accents apart", norm.NFD.String, explain.Characters, "composing the letters"},
		{"entities of HTML", html.EscapeString, explain.Characters, "entities of HTML"},
		{"a form", func(s string) string { return "payload=" + url.QueryEscape(s) }, explain.Characters, "from URL encoding"},
		{"a value of a form", url.QueryEscape, explain.Characters, "from URL encoding"},
		{"NUL at the end", func(s string) string { return s + "\x00" }, explain.NUL, "removing NUL"},
		{"NUL up to a length", func(s string) string { return s + strings.Repeat("\x00", 100) }, explain.NUL, "removing NUL"},
		{"encoded again", func(s string) string { return doubled(strings.ReplaceAll(s, `,"`, `, "`)) }, explain.Characters, "and encoding the JSON of the body again"},
		{"replacement characters", func(s string) string { return strings.ToValidUTF8(latin1(s), "\ufffd") }, explain.Replaced, "U+FFFD 2 times"},
		{"a character cut in two", func(s string) string { return strings.Replace(s, "ü", "\xc3", 1) }, explain.Replaced, "not UTF-8, first at byte"},
		{"question marks", replace("ü", "?", "€", "?"), explain.Replaced, "question marks inside words"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := tt.change(message)
			require.NotEqual(t, message, changed)
			v := explained(t, message, changed)
			require.Len(t, v.Hints, 1)
			assert.Equal(t, tt.cause, v.Causes[0], v.Hints)
			assert.Contains(t, v.Hints[0], tt.hint)
			assert.NotContains(t, v.Hints[0], "ller", "no part of the body")
			assert.False(t, v.Genuine)
		})
	}
	v := explained(t, norm.NFD.String(message), message)
	assert.Contains(t, v.Hints[0], "separating the letters")
}

// TestNotConverted: what looks like a conversion, and is none, does not hide a wrong
// secret.
func TestNotConverted(t *testing.T) {
	for _, body := range []string{
		message, strings.ReplaceAll(message, "Müller", "https://example.com/a?b=c"),
		`{"type":"batch.failed","n":9007199254740993}`, `{"type":"x?"}`,
	} {
		another := webhooktest.Static(webhooktest.RandomSecret())
		d := webhooktest.NewBody([]byte(body)).Sign(sent, another)
		v := explain.Explain(t.Context(), explain.Delivery{
			Header: d.Header, Body: d.Body, Expected: int64(len(d.Body)),
		}, static, sent)
		assert.Equal(t, []explain.Cause{explain.Secret}, v.Causes, body)
	}
}

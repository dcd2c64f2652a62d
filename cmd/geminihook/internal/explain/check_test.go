package explain_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

// TestGenuine checks the verdicts on deliveries whose signature matches.
func TestGenuine(t *testing.T) {
	genuine := recorded(t, webhooktest.Static(webhooktest.TestSecret))
	v := explain.Explain(t.Context(), genuine, static, sent)
	assert.Equal(t, explain.Verdict{Genuine: true, Proof: geminihook.Proof{Scheme: "v1", KeyName: "whsec_...MDAx"}, SentAt: sent}, v)

	split := genuine
	split.Header = genuine.Header.Clone()
	split.Header["Webhook-Signature"] = strings.Split(split.Header.Get("webhook-signature"), ",")
	v = explain.Explain(t.Context(), split, static, sent)
	assert.True(t, v.Genuine, "the library joins the parts")
	assert.Equal(t, []explain.Cause{explain.HeaderSplit}, v.Causes)

	d := webhooktest.NewBody([]byte("hello"), webhooktest.Static(webhooktest.TestSecret))
	v = explain.Explain(t.Context(), explain.Delivery{Header: d.Header, Body: d.Body}, static,
		sent.AddDate(9, 0, 0))
	assert.False(t, v.Genuine)
	v = explain.Explain(t.Context(), explain.Delivery{Header: d.Header, Body: d.Body}, static,
		v.SentAt)
	assert.False(t, v.Genuine)
	assert.Contains(t, v.Reason, "not a JSON object")
	assert.Empty(t, v.Hints)
}

// TestTwoCauses checks that two things that went wrong are both named.
func TestTwoCauses(t *testing.T) {
	for name, tt := range map[string]struct {
		damage []func(*explain.Delivery)
		want   []explain.Cause
	}{
		"milliseconds and a newline": {
			[]func(*explain.Delivery){header("Webhook-Timestamp", "1769083205000"), body(func(s string) string { return s + "\n" })},
			[]explain.Cause{explain.Milliseconds, explain.WhiteSpace},
		},
		"gzip in base64":             {[]func(*explain.Delivery){body(compressed), body(encoded)}, []explain.Cause{explain.Base64, explain.Compressed}},
		"encoded again, in a string": {[]func(*explain.Delivery){marshal("", true), body(quoted)}, []explain.Cause{explain.Quoted, explain.KeyOrder}},
	} {
		d := recorded(t, webhooktest.Static(webhooktest.TestSecret))
		for _, damage := range tt.damage {
			damage(&d)
		}
		v := explain.Explain(t.Context(), d, static, sent)
		assert.Equal(t, tt.want, v.Causes, name)
		assert.False(t, v.Genuine, name)
		assert.Len(t, v.Hints, 1, "one sentence: %s", name)
	}
}

// TestReason checks the words if no hint says more than the library.
func TestReason(t *testing.T) {
	d := recorded(t, webhooktest.Static(webhooktest.TestSecret))
	d.Header.Set("webhook-id", "a\x7f")
	v := explain.Explain(t.Context(), d, static, sent)
	assert.Empty(t, v.Hints)
	assert.Contains(t, v.Reason, "webhook-id must be 1 to 256 bytes")

	d = recorded(t, webhooktest.Dynamic(webhooktest.Key(1)))
	down := explain.Keys{
		Dynamic: &geminihook.KeySet{
			URL: "http://127.0.0.1:0/", Tolerance: math.MaxInt64,
			Logger: slog.New(slog.DiscardHandler),
		},
	}
	v = explain.Explain(t.Context(), d, down, sent)
	assert.Contains(t, v.Reason, "could not decide")
	assert.Empty(t, v.Hints)
}

// counter is a verifier that accepts nothing.
type counter struct{ calls int }

func (c *counter) Verify(context.Context, http.Header, []byte) (geminihook.Proof, error) {
	c.calls++
	return geminihook.Proof{}, geminihook.ErrSignature
}

// TestBounds checks that a body that is made for it does not cause more work.
func TestBounds(t *testing.T) {
	object := `{"a":1,"b":2,"c":3,"d":4,"e":"/é<😀"}`
	for name, body := range map[string]string{
		"many objects": `{"o":[` + strings.Repeat(object+",", 100) + object + `]}`,
		"many keys": fmt.Sprintf(`{"o":{%s}}`,
			strings.Join(strings.Fields(strings.Repeat(`"k":1, `, 5000)+`"k":1`), "")),
		"deep":  strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
		"large": `{"o":"` + strings.Repeat("/", 1<<20) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := webhooktest.NewBody([]byte(body), webhooktest.Dynamic(webhooktest.Key(1)))
			var c counter
			v := explain.Explain(t.Context(), explain.Delivery{Header: d.Header, Body: d.Body},
				explain.Keys{Dynamic: &c}, sent)
			assert.False(t, v.Genuine)
			assert.LessOrEqual(t, c.calls, 3000)
		})
	}
}

// FuzzExplain checks that nothing that arrives makes Explain panic, and that
// only what verifies is genuine.
func FuzzExplain(f *testing.F) {
	f.Add("1769083205", "v1,AAAA", []byte(original))
	f.Add("1769083205123", "v1, AAAA", []byte(`"e30="`))
	f.Add("1769083205.5", "v1a,AA AA", []byte("\ufeff{\"a\":[{},[],\"\\ud800\"]}"))
	f.Add("x, y", "eyJ.a.b", []byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, timestamp, signature string, body []byte) {
		header := http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		v := explain.Explain(t.Context(), explain.Delivery{Header: header, Body: body}, static,
			sent)
		if v.Genuine {
			h, err := geminihook.NewHMAC(webhooktest.TestSecret)
			assert.NoError(t, err)
			_, err = h.Verify(t.Context(), header, body)
			assert.NotErrorIs(t, err, geminihook.ErrSignature)
		}
		assert.NotEqual(t, v.Genuine, v.Reason != "")
	})
}

// TestLongBody checks that a body is only encoded again if it is not much longer
// than an event: a stranger can have listen explain a body, even a compressed one.
func TestLongBody(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int
		cause explain.Cause
	}{
		{"event with much metadata", 30 << 10, explain.Spacing},
		{"too long", 40 << 10, explain.Secret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := webhooktest.NewBody([]byte(`{"user_metadata":"` + strings.Repeat("a", tt.size) + `"}`))
			d.Sign(sent, webhooktest.Static(webhooktest.TestSecret))
			changed := explain.Delivery{
				Header: d.Header, Body: bytes.Replace(d.Body, []byte(":"), []byte(": "), 1),
			}
			v := explain.Explain(t.Context(), changed, static, time.Time{})
			assert.Equal(t, []explain.Cause{tt.cause}, v.Causes)
		})
	}
}

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// acceptAll starts a receiver that verifies nothing and returns its URL.
func acceptAll(t *testing.T) string {
	t.Helper()
	return respondAll(t, http.StatusOK)
}

// respondAll starts a server that responds with the status to every request, and
// returns its URL.
func respondAll(t *testing.T, status int) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestVerify checks the verdict and the words that say what is wrong.
func TestVerify(t *testing.T) {
	signer := webhooktest.Static(webhooktest.TestSecret)
	body := "{\n  \"type\": \"batch.failed\",\r\n  \"data\": {\"id\": \"b<>\"}\n}\n"
	sent := time.Now().Add(-240 * time.Hour)
	signed := func(by webhooktest.Signer, body string) *webhooktest.Delivery {
		return webhooktest.NewBody([]byte(body)).Sign(sent, by)
	}
	changed := func(signedBody, body string) *webhooktest.Delivery {
		d := signed(signer, signedBody)
		d.Body = []byte(body)
		return d
	}
	header := func(name, value string) *webhooktest.Delivery {
		d := signed(signer, body)
		if d.Header.Set(name, value); value == "" {
			d.Header.Del(name)
		}
		return d
	}
	text := base64.StdEncoding.EncodeToString([]byte(webhooktest.TestSecret))
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		flags    string
		status   int
		want     string
	}{
		{name: "genuine", delivery: signed(signer, body), want: "genuine batch.failed"},
		{name: "its age", delivery: signed(signer, body), want: "(10 days ago)"},
		{name: "its age, refused", delivery: signed(signer, body), flags: "-now", status: 1, want: "this is a recording that was sent again"},
		{name: "another secret", delivery: signed(signer, body).WrongSecret(), status: 1, want: "whsec_...MDAx"},
		{name: "newline added", delivery: changed(strings.TrimSpace(body), body), status: 1, want: "after removing a trailing newline"},
		{name: "newline removed", delivery: changed(body, body[:len(body)-1]), status: 1, want: "after adding a trailing newline"},
		{name: "line endings made CRLF", delivery: changed("{\n}", "{\r\n}"), status: 1, want: "changing CRLF to LF"},
		{name: "line endings made LF", delivery: changed("{\r\n}", "{\n}"), status: 1, want: "changing LF to CRLF"},
		{name: "byte order mark", delivery: changed("{}", "\ufeff{}"), status: 1, want: "removing a byte order mark"},
		{name: "pretty", delivery: changed(`{"a":1,"b":[1,2]}`, "{\n \"a\": 1,\n \"b\": [1,2]}"), status: 1, want: "with other white space"},
		{name: "compact", delivery: changed(`{"a": 1, "b": ["x,\"y:", 2]}`, `{"a":1,"b":["x,\"y:",2]}`), status: 1, want: "with other white space"},
		{name: "escaped", delivery: changed(`{"a":"<&>"}`, `{"a":"\u003c\u0026\u003e"}`), status: 1, want: "replacing the escapes of <, >, and &"},
		{name: "raw secret", delivery: signed(webhooktest.Static(text), body), status: 1, want: "did not decode the base64 of the secret"},
		{name: "JWT", delivery: header("webhook-signature", "eyJh.e30.c2ln"), status: 1, want: "is a JWT"},
		{name: "no signature", delivery: header("webhook-signature", ""), status: 1, want: "webhook-signature is missing"},
		{name: "no timestamp", delivery: header("webhook-timestamp", ""), status: 1, want: "webhook-timestamp is missing"},
		{name: "dynamic", delivery: signed(webhooktest.Dynamic(webhooktest.Key(1)), body), status: 1, want: "this is a dynamic webhook"},
		{name: "not JSON", delivery: signed(signer, "hello"), status: 1, want: "not a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var file bytes.Buffer
			require.NoError(t, tt.delivery.Write(&file))
			args := append([]string{"verify"}, strings.Fields(tt.flags)...)
			status, out, errs := call(t, file.String(), vars, append(args, "-")...)
			assert.Equal(t, tt.status, status)
			assert.Contains(t, flat(out), tt.want)
			assert.Empty(t, errs)
			for _, secret := range []string{
				webhooktest.TestSecret[6:], "b<>", tt.delivery.Header.Get("webhook-signature"),
			} {
				if secret != "" {
					assert.NotContains(t, out, secret)
				}
			}
		})
	}
	status, _, errs := call(t, "hello", vars, "verify", "-")
	assert.Equal(t, 1, status)
	assert.Contains(t, flat(errs), "not an HTTP request")
}

// TestVerifyJSON checks the line for scripts.
func TestVerifyJSON(t *testing.T) {
	d := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Static(webhooktest.TestSecret))
	for name, tt := range map[string]struct {
		delivery *webhooktest.Delivery
		status   int
		verified bool
		reason   string
	}{
		"genuine":      {d, exitOK, true, ""},
		"not accepted": {d.WrongSecret(), exitFailed, false, "did not make the signature"},
		"hostile":      {webhooktest.NewBody([]byte(`{"type":"\u001b[2J"}`), webhooktest.Static(webhooktest.TestSecret)), exitOK, true, ""},
	} {
		var file bytes.Buffer
		require.NoError(t, tt.delivery.Write(&file))
		status, out, errs := call(t, file.String(), vars, "verify", "-json", "-")
		assert.Equal(t, tt.status, status, name)
		assert.Empty(t, errs, name)
		assertVisible(t, out)
		assert.Equal(t, 1, strings.Count(out, "\n"), name)
		var line verifyLine
		require.NoError(t, json.Unmarshal([]byte(out), &line), out)
		assert.Equal(t, tt.verified, line.Verified, name)
		assert.Contains(t, strings.Join(line.Reasons, " "), tt.reason, name)
		assert.Equal(t, "-", line.File)
		if name == "genuine" {
			assert.Equal(t, verifyLine{File: "-", Verified: true, ID: d.ID(), Type: "batch.failed", Scheme: "v1", Key: "whsec_...MDAx", SentAt: line.SentAt, Reasons: []string{}}, line)
			assert.False(t, line.SentAt.IsZero())
		}
	}
}

func TestVerifyDynamic(t *testing.T) {
	keys := webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(1)))
	defer keys.Close()
	var file bytes.Buffer
	require.NoError(t, webhooktest.New(geminihook.EventVideoGenerated,
		webhooktest.Dynamic(webhooktest.Key(1))).Write(&file))
	status, out, errs := call(t, file.String(), nil, "verify", "-jwks", keys.URL, "-")
	assert.Zero(t, status, out+errs)
	assert.Contains(t, out, "signed v1a")
}

// TestVerifyFiles checks what is only known from the files themselves: that a
// body belongs to another one, that one is cut short, and when it was refused.
func TestVerifyFiles(t *testing.T) {
	signer := webhooktest.Static(webhooktest.TestSecret)
	sent := time.Date(2026, 1, 22, 12, 0, 5, 0, time.UTC)
	one := webhooktest.NewBody([]byte(`{"n":10000}`)).Sign(sent, signer)
	two := webhooktest.NewBody([]byte(`{"n":2}`)).Sign(sent, signer)
	swapped, cutShort := one.Clone(), two.Clone()
	swapped.Body = two.Body
	cutShort.Header.Set("Content-Length", "700")
	cutShort.Body = cutShort.Body[:4]
	three := webhooktest.NewBody([]byte(`{"n":3}`)).Sign(sent, signer)
	dir := t.TempDir()
	write := func(name string, d *webhooktest.Delivery) string {
		var b bytes.Buffer
		require.NoError(t, d.Write(&b))
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, bytes.Replace(b.Bytes(),
			[]byte("Content-Length: 4\r\n"), nil, len(d.Header["Content-Length"])), 0o600))
		return name
	}
	swappedFile := write("swapped.http", swapped)
	crlf := write("crlf.http", webhooktest.NewBody([]byte("{\n}\n")).Sign(sent, signer))
	content, err := os.ReadFile(crlf)
	require.NoError(t, err)
	content = bytes.ReplaceAll(content, []byte("\r"), nil)
	content = bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
	require.NoError(t, os.WriteFile(crlf, content, 0o600)) // as Git checks it out
	gitLF := write("lf.http", webhooktest.NewBody([]byte("{\r\n\r\n}\n")).Sign(sent, signer))
	content, err = os.ReadFile(gitLF)
	require.NoError(t, err)
	content = bytes.ReplaceAll(content, []byte("\r"), nil)
	require.NoError(t, os.WriteFile(gitLF, content, 0o600)) // as Git commits it
	for name, tt := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"a body of another file":   {[]string{write("other.http", &webhooktest.Delivery{Header: two.Header, Body: one.Body}), swappedFile}, 1, "after taking the body of " + swappedFile},
		"a secret that is right":   {[]string{swappedFile, write("three.http", three)}, 1, "verify another of these deliveries"},
		"a body that is cut short": {[]string{write("cut.http", cutShort)}, 1, "4 of 700 bytes arrived"},
		"refused by a fast clock":  {[]string{write("refused-20260122T122005Z-1.http", one)}, 1, "20m0s before the time on the receiver's clock"},
		"a body that Git made LF":  {[]string{gitLF}, 1, "changing some of the line endings"},
		"a body with CRLF":         {[]string{crlf}, 1, "changing CRLF to LF"},
		"refused, but genuine":     {[]string{write("refused-20260122T120006Z-1.http", one)}, 0, "with other secrets or keys"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, errs := call(t, "", vars, append([]string{"verify"}, tt.args...)...)
			assert.Equal(t, tt.status, status, errs)
			assert.Contains(t, flat(out), tt.want)
		})
	}
}

// TestVerifySecret checks that a secret in the wrong form is named as such.
func TestVerifySecret(t *testing.T) {
	for text, want := range map[string]string{
		`"` + webhooktest.TestSecret + `"`:                              "secret is quoted",
		"GEMINI_WEBHOOK_SECRET=" + webhooktest.TestSecret:               "the name of a variable before it",
		"export GEMINI_WEBHOOK_SECRET=" + webhooktest.TestSecret:        "the name of a variable before it",
		"export GEMINI_WEBHOOK_SECRET='" + webhooktest.TestSecret + "'": "the name of a variable before it",
	} {
		status, out, errs := call(t, "", map[string]string{"GEMINI_WEBHOOK_SECRET": text}, "verify", "-")
		assert.Equal(t, 1, status, out)
		assert.Contains(t, flat(errs), want)
		assert.NotContains(t, errs, webhooktest.TestSecret[6:])
	}
}

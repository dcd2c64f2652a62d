package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unicode"

	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVisible(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain text", `batch.succeeded ü 日本 "x" \n`, `batch.succeeded ü 日本 "x" \n`},
		{"C0", "\x00\a\b\t\r\n\x1b[2J", `\x00\a\b\t\r\n\x1b[2J`},
		{"DEL", "\x7f", `\x7f`},
		{"C1", "\u0080\u0085\u009b31m", `\u0080\u0085\u009b31m`},
		{"C1 as a byte", "\x9b31m", `\x9b31m`},
		{"bidirectional", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069", `\u061c\u200e\u200f\u202a\u202e\u2066\u2069`},
		{"invisible", "\u200b\u2028\ufeff\u00ad", `\u200b\u2028\ufeff\u00ad`},
		{"invalid UTF-8", "a\xffb\xc3", `a\xffb\xc3`},
		{"replacement character", "\ufffd", "\ufffd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, visible(tt.in))
		})
	}
}

func TestCut(t *testing.T) {
	assert.Equal(t, "übung", cut("übung", 5))
	assert.Equal(t, "üb...", cut("übungen", 5))
}

// hostile is a text that clears the screen, changes the title of the terminal,
// and reverses what follows.
const hostile = "\x1b[2J\x1b]0;title\a\u009b31m\u202e\x7f"

// assertVisible checks that the text consists of printable characters and
// newlines.
func assertVisible(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			assert.Fail(t, "control character", "%q in %q", r, text)
			return
		}
	}
}

// TestHostile checks that no command prints text from a delivery or a file name
// unescaped.
func TestHostile(t *testing.T) {
	inName := hostile
	if runtime.GOOS == "windows" { // which permits no control characters in file names
		inName = "\u202e"
	}
	signer := webhooktest.Static(webhooktest.TestSecret)
	body, err := json.Marshal(map[string]any{"type": hostile, "data": map[string]any{"id": hostile}})
	require.NoError(t, err)
	genuine := webhooktest.NewBody(body, signer)
	strange := genuine.Clone()
	strange.SetID("msg_" + hostile)
	strange.Sign(time.Now(), signer)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	recorded := func(d *webhooktest.Delivery) []byte {
		var b bytes.Buffer
		require.NoError(t, d.Write(&b))
		return b.Bytes()
	}
	receiver := acceptAll(t)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"verify genuine", []string{"verify", write("genuine"+inName, recorded(genuine))}},
		{"verify tampered", []string{"verify", write("tampered"+inName, recorded(genuine.Tampered()))}},
		{"verify strange id", []string{"verify", write("id.http", recorded(strange))}},
		{"verify garbage", []string{"verify", write("garbage"+inName, []byte("POST / HTTP/1.1\r\nx\x1b[2J\u202e\r\n\r\n"))}},
		{"verify missing file", []string{"verify", filepath.Join(dir, "missing"+hostile)}},
		{"send type", []string{"send", "-type", hostile, receiver}},
		{"send file", []string{"send", "-file", write(inName+".http", recorded(genuine)), receiver}},
		{"send strange id", []string{"send", "-file", write("strange.http", recorded(strange)), receiver}},
		{"send body", []string{"send", "-file", write(inName+".json", body), receiver}},
		{"send garbage", []string{"send", "-file", write("garbage"+inName+".http", []byte("\x1b[2J")), receiver}},
		{"send missing file", []string{"send", "-file", filepath.Join(dir, hostile), receiver}},
		{"send key file", []string{"send", "-dynamic", "-jwks", "127.0.0.1:0", "-key-file", write("key"+inName, nil), receiver}},
		{"send unknown flag", []string{"send", "-x" + hostile, receiver}},
		{"listen to a file", []string{"listen", "-addr", "127.0.0.1:0", "-ui", "127.0.0.1:0", "-dir", write("file"+inName, nil)}},
		{"unknown command", []string{hostile}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, out, errs := call(t, "", vars, tt.args...)
			assert.NotEmpty(t, out+errs)
			assertVisible(t, out)
			assertVisible(t, errs)
		})
	}
}

package listen_test

import (
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCopy checks that each form brings the delivery back, whatever it holds,
// and that no form contains anything that a terminal or a shell acts on.
func TestCopy(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	for i, tt := range []struct{ name, body string }{
		{"plain", string(webhooktest.Body(geminihook.EventBatchSucceeded))},
		{"quotes", `{"type":"it's \"x\" $(touch owned) ` + "`touch owned`" + ` \\ % %s"}`},
		{"newlines", "{\"type\":\n\"x\"\r\n}\n\n"},
		{"a file's name", `@/etc/passwd`},
		{"escapes", "{\"type\":\"\x1b]0;owned\a\u202e\u009b31m\"}"},
		{"bidirectional text", "{\"type\":\"\u202e\u2066\"}"},
		{"bytes", "\x00\xff%d\\n'\x01"},
		{"end of a comment", "*/ \n` + \"\n//"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := webhooktest.NewBody([]byte(tt.body), signer)
			d.Header.Set("Cookie", "private=1")
			if i == 1 {
				d.SetID(`it's;"$(touch_owned)`)
				d.Sign(time.Now(), signer)
			}
			b.deliver(d)
			form := func(name string) string {
				req, err := http.NewRequest(http.MethodGet,
					b.PageURL()+"api/deliveries/"+itoa(i+1)+"/copy/"+name, nil)
				require.NoError(t, err)
				resp := b.do(req)
				require.Equal(t, http.StatusOK, resp.StatusCode)
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.NotContains(t, string(text), "private")
				return string(text)
			}
			read, err := webhooktest.Read(strings.NewReader(form("http")))
			require.NoError(t, err)
			assert.Equal(t, d.Body, read.Body)
			assert.Equal(t, d.Header["Webhook-Signature"], read.Header["Webhook-Signature"])

			source := form("go")
			_, err = parser.ParseFile(token.NewFileSet(), "x_test.go", source, parser.AllErrors)
			require.NoError(t, err, source)

			command := form("curl")
			for _, text := range []string{source, command} {
				for _, r := range text {
					assert.True(t, r == '\n' || r == '\t' || unicode.IsPrint(r), "%q", r)
				}
			}
			curl(t, command)
			last := p.got()[len(p.got())-1]
			assert.Equal(t, d.Body, last.Body)
			for _, h := range []string{"Webhook-Id", "Webhook-Signature", "Webhook-Timestamp", "Content-Type"} {
				assert.Equal(t, d.Header[h], last.Header[h])
			}
		})
	}
	b.get("api/deliveries/1/copy/other", http.StatusNotFound, nil)
	b.get("api/deliveries/99/copy/go", http.StatusNotFound, nil)
}

// curl runs the command in a shell.
func curl(t *testing.T, command string) {
	t.Helper()
	testserver.Program(t, "curl", "curl")
	dir := t.TempDir()
	run := exec.Command("sh", "-c", command)
	run.Dir = dir
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s\n%s", command, out)
	assert.NoFileExists(t, filepath.Join(dir, "owned"))
}

// TestFiles checks what -dir writes: each event once, what was not accepted in a
// folder apart, and nothing beyond the bound.
func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	b := start(t, listen.Config{Dir: dir})
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	d.Header.Set("Cookie", "private=1")
	b.deliver(d)
	b.deliver(d.Clone().Sign(time.Now().Add(2*time.Second), signer))
	b.deliver(webhooktest.New("../../x\x1b", signer).WrongSecret())
	b.deliver(webhooktest.New("x", signer).Oversized(maxBody))
	all, err := webhooktest.Load(os.DirFS(dir), "*.http")
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, d.Body, all[0].Body)
	assert.NotContains(t, all[0].Header, "Cookie")
	refused, err := webhooktest.Load(os.DirFS(dir), "refused/*.http")
	require.NoError(t, err)
	require.Len(t, refused, 1)
	assert.Contains(t, refused[0].Name, "-.._.._x_-")
	for range 250 {
		b.deliver(webhooktest.New("x", signer).WrongSecret())
	}
	refused, err = webhooktest.Load(os.DirFS(dir), "refused/*.http")
	require.NoError(t, err)
	assert.Len(t, refused, 200)
	require.NoError(t, os.Remove(filepath.Join(dir, "refused", refused[0].Name+".http")))
	b.deliver(webhooktest.New("x", signer).WrongSecret())
	refused, err = webhooktest.Load(os.DirFS(dir), "refused/*.http")
	require.NoError(t, err)
	assert.Len(t, refused, 200, "there was room again")
}

// TestFileFails checks that Google sends an event again that could not be
// written, and that the program does not see it before.
func TestFileFails(t *testing.T) {
	dir := t.TempDir()
	p := newProgram(t)
	b := start(t, listen.Config{Dir: dir, Forward: p.URL})
	require.NoError(t, os.RemoveAll(dir))
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	assert.Equal(t, http.StatusInternalServerError, b.deliver(d).StatusCode)
	assert.Empty(t, p.got())
	require.NoError(t, os.MkdirAll(dir, 0o755))
	assert.Equal(t, http.StatusOK, b.deliver(d).StatusCode)
	assert.Equal(t, 500, b.list("")[0].ClearedAfter)
	assert.Len(t, p.got(), 1)
}

package main

import (
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKeepsOtherSecrets checks that a secret which another command has written
// into the file in the meantime is not lost: nobody shows it again.
func TestKeepsOtherSecrets(t *testing.T) {
	fake, vars := newAPI(t)
	target, err := url.Parse(fake.URL)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), ".env")
	configured, other := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	require.NoError(t, os.WriteFile(path, []byte("GEMINI_WEBHOOK_SECRET="+configured+"\n"), 0o600))
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // the other command ends while this one waits
			assert.NoError(t, os.WriteFile(path,
				[]byte("GEMINI_WEBHOOK_SECRET="+other+","+configured+"\n"), 0o600))
		}
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	ok(t, with(vars, "GOOGLE_GEMINI_BASE_URL", server.URL), "setup", "-url", endpoint, "-env", path)
	all := strings.Join([]string{fake.Secrets("webhook-1")[0], other, configured}, ",")
	assert.Equal(t, "GEMINI_WEBHOOK_SECRET="+all+"\n", readable(t, path))
}

// TestWindowsFiles: a byte order mark, with which Notepad and PowerShell write UTF-8,
// hides no secret from any command.
func TestWindowsFiles(t *testing.T) {
	fake, vars := newAPI(t)
	path := filepath.Join(t.TempDir(), ".env")
	old := webhooktest.RandomSecret()
	const mark = "\ufeff"
	require.NoError(t, os.WriteFile(path,
		[]byte(mark+"GEMINI_WEBHOOK_SECRET="+old+"\r\nPORT=8080\r\n"), 0o600))
	assert.Contains(t, ok(t, nil, "send", "-secret-file", path, acceptAll(t)), "200 OK")
	ok(t, vars, "setup", "-url", endpoint, "-env", path)
	ok(t, vars, "rotate", "-url", endpoint, "-env", path)
	all := strings.Join(append(fake.Secrets("webhook-1"), old), ",")
	assert.Equal(t, mark+"GEMINI_WEBHOOK_SECRET="+all+"\r\nPORT=8080\r\n", readable(t, path))
	assertReads(t, path, split(all))

	alone := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(alone, []byte(mark+old+"\r\n"), 0o600))
	assert.Contains(t, ok(t, nil, "send", "-secret-file", alone, acceptAll(t)), "200 OK")
}

// TestWideFiles: a file in UTF-16 is refused with words, before the API makes a secret,
// and stays as it is.
func TestWideFiles(t *testing.T) {
	fake, vars := newAPI(t)
	ok(t, vars, "setup", "-url", endpoint)
	before := len(fake.Requests())
	var text []byte
	const line = "\ufeffGEMINI_WEBHOOK_SECRET=" + webhooktest.TestSecret
	for _, unit := range utf16.Encode([]rune(line)) {
		text = binary.LittleEndian.AppendUint16(text, unit)
	}
	path := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	for _, args := range []string{
		"setup -url https://example.com/other -env " + path,
		"rotate -url " + endpoint + " -env " + path,
		"send -secret-file " + path + " http://127.0.0.1:1/",
		"verify -secret-file " + path + " file.http",
		"listen -secret-file " + path,
		"doctor -env " + path,
	} {
		status, out, errs := call(t, "", vars, strings.Fields(args)...)
		assert.NotZero(t, status, args)
		assert.Contains(t, flat(out+errs), "save it as UTF-8", args)
	}
	for _, request := range fake.Requests()[before:] {
		assert.NotContains(t, request, "POST")
	}
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, text, kept)
}

// TestNarrowed: a file that all users could read becomes the owner's alone, and the
// command says so, because the receiver may run as another user.
func TestNarrowed(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no such permissions
	}
	for mode, want := range map[os.FileMode]string{
		0o644: "give the file to one of its groups", 0o640: "", 0o600: "",
	} {
		_, vars := newAPI(t)
		path := filepath.Join(t.TempDir(), ".env")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chmod(path, mode))
		status, _, errs := call(t, "", vars, "setup", "-url", endpoint, "-env", path)
		assert.Zero(t, status)
		assert.Contains(t, flat(errs), want)
		assert.Equal(t, want == "", errs == "")
		narrow(t, errs)
	}
}

// full is standard output on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestOutputFails: a secret that cannot be printed on standard output is printed on
// standard error, and is a failure.
func TestOutputFails(t *testing.T) {
	for _, args := range []string{
		"setup -url https://example.com/new", "setup -json -url https://example.com/new",
		"rotate -url " + endpoint, "rotate -json -url " + endpoint,
	} {
		t.Run(args, func(t *testing.T) {
			fake, vars := newAPI(t)
			ok(t, vars, "setup", "-url", endpoint)
			var errs strings.Builder
			status := run(t.Context(), strings.Fields(args),
				&env{out: full{}, err: &errs, getenv: lookUp(vars)})
			assert.Equal(t, exitFailed, status)
			ids := fake.IDs()
			secret := fake.Secrets(ids[len(ids)-1])[0]
			assert.Contains(t, errs.String(), "GEMINI_WEBHOOK_SECRET="+secret+"\n")
		})
	}
}

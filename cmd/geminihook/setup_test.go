package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/fakeapi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endpoint is the URL of the webhooks in these tests.
const endpoint = "https://example.com/gemini"

// newAPI starts a fake API and returns it with the environment for it.
func newAPI(t *testing.T, more ...string) (fake *fakeapi.Server, vars map[string]string) {
	t.Helper()
	fake = fakeapi.New()
	t.Cleanup(fake.Close)
	vars = map[string]string{"GEMINI_API_KEY": fakeapi.Key, "GOOGLE_GEMINI_BASE_URL": fake.URL}
	for i := 0; i < len(more); i += 2 {
		vars[more[i]] = more[i+1]
	}
	return fake, vars
}

// with returns vars with one more variable.
func with(vars map[string]string, name, value string) map[string]string {
	vars = maps.Clone(vars)
	vars[name] = value
	return vars
}

// ok runs a command that must succeed and returns its output.
func ok(t *testing.T, vars map[string]string, args ...string) string {
	t.Helper()
	status, out, errs := call(t, "", vars, args...)
	require.Zero(t, status, "%v: %s%s", args, out, errs)
	narrow(t, out)
	return out
}

// narrow checks that the text fits a terminal of 80 columns.
func narrow(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "{") && !strings.HasPrefix(line, "GEMINI_WEBHOOK_SECRET=") {
			assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 80, line)
		}
	}
}

// readable returns the content of a file and checks that only its owner can read it.
func readable(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		assert.Equal(t, "-rw-------", info.Mode().String())
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestSetupFile(t *testing.T) {
	fake, vars := newAPI(t)
	path := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(path, []byte("PORT=8080\n# end"), 0o644))
	out := ok(t, vars, "setup", "-url", endpoint, "-env", path)
	secret := fake.Secrets("webhook-1")[0]
	assert.Equal(t, "PORT=8080\n# end\nGEMINI_WEBHOOK_SECRET="+secret+"\n", readable(t, path))
	assert.Contains(t, out, "webhook-1  enabled\n")
	assert.Contains(t, out, "interaction.requires_action", "all events, by default")
	assert.NotContains(t, out, secret)
	assert.Contains(t, out, secretName(secret))
}

// TestSecretFile: the file of setup serves the other commands as it is.
func TestSecretFile(t *testing.T) {
	_, vars := newAPI(t)
	path := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(path, []byte("PORT=8080\n"), 0o600))
	ok(t, vars, "setup", "-url", endpoint, "-env", path)
	assert.Contains(t, ok(t, nil, "send", "-secret-file", path, acceptAll(t)), "200 OK")
}

func TestSetupPrints(t *testing.T) {
	fake, vars := newAPI(t)
	out := ok(t, vars, "setup", "-url", endpoint, "-events", "batch.succeeded, batch.failed")
	assert.Equal(t, 1,
		strings.Count(out, "GEMINI_WEBHOOK_SECRET="+fake.Secrets("webhook-1")[0]+"\n"))
	assert.Contains(t, out, "events: batch.succeeded, batch.failed\n")
}

func TestSetupJSON(t *testing.T) {
	fake, vars := newAPI(t)
	var line setupLine
	require.NoError(t,
		json.Unmarshal([]byte(ok(t, vars, "setup", "-json", "-url", endpoint)), &line))
	assert.Equal(t, fake.Secrets("webhook-1")[0], line.Value)
	assert.True(t, line.Created)

	path := filepath.Join(t.TempDir(), ".env")
	line = setupLine{}
	require.NoError(t, json.Unmarshal([]byte(ok(t, vars, "setup", "-json", "-url", endpoint+"2",
		"-env", path)), &line))
	assert.Empty(t, line.Value)
	assert.Equal(t, path, line.File)
	assert.Contains(t, readable(t, path), fake.Secrets("webhook-2")[0])
}

// TestSetupFound: nothing is created if there is a webhook with the URL, and it is
// a failure if its secret is not known.
func TestSetupFound(t *testing.T) {
	fake, vars := newAPI(t)
	ok(t, vars, "setup", "-url", endpoint+"/other")
	ok(t, vars, "setup", "-url", endpoint+"/more")
	ok(t, vars, "setup", "-url", endpoint)
	path := filepath.Join(t.TempDir(), ".env")
	status, out, errs := call(t, "", vars, "setup", "-url", "HTTPS://Example.com/gemini", "-env",
		path)
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, out, "webhook-3  enabled")
	assert.Contains(t, flat(errs), "geminihook rotate -env "+path+" webhook-3")
	assert.NoFileExists(t, path)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".gem*"))
	require.NoError(t, err)
	assert.Empty(t, left, "no temporary file is left")
	assert.Len(t, fake.IDs(), 3)

	vars = with(vars, "GEMINI_WEBHOOK_SECRET", fake.Secrets("webhook-3")[0])
	assert.Contains(t, ok(t, vars, "setup", "-url", endpoint), "A secret of this name is configured.")
	fake.SetState("webhook-3", "disabled_due_to_failed_deliveries")
	fake.SetEvents("webhook-3", "batch.failed")
	assert.Contains(t, ok(t, vars, "setup", "-url", endpoint), "add -update")
	out = ok(t, vars, "setup", "-url", endpoint, "-update")
	assert.Contains(t, out, "webhook-3  enabled")
	assert.Contains(t, out, "events: batch.failed\n", "without -events, they stay")
	out = ok(t, vars, "setup", "-url", endpoint, "-update", "-events", "batch.expired")
	assert.Contains(t, out, "events: batch.expired\n")
}

// TestSetupUnwritable: if the file cannot be written, nothing is created.
func TestSetupUnwritable(t *testing.T) {
	fake, vars := newAPI(t)
	for _, path := range []string{
		t.TempDir(), filepath.Join(t.TempDir(), "missing", ".env"), os.DevNull,
	} {
		status, _, errs := call(t, "", vars, "setup", "-url", endpoint, "-env", path)
		assert.Equal(t, exitFailed, status, path)
		assert.NotEmpty(t, errs)
	}
	assert.Empty(t, fake.IDs())
}

// TestSetupNotLost: a secret that cannot be written after its creation is printed.
func TestSetupNotLost(t *testing.T) {
	for _, flags := range [][]string{nil, {"-json"}} {
		fake, vars := newAPI(t)
		dir := filepath.Join(t.TempDir(), "dir")
		require.NoError(t, os.Mkdir(dir, 0o700))
		fake.OnCreate(func() { _ = os.RemoveAll(dir) })
		args := append(append([]string{"setup"}, flags...), "-url", endpoint, "-env",
			filepath.Join(dir, ".env"))
		status, out, errs := call(t, "", vars, args...)
		assert.Equal(t, exitFailed, status)
		assert.Contains(t, out, fake.Secrets("webhook-1")[0])
		assert.Contains(t, flat(errs), "riting "+filepath.Join(dir, ".env")+" failed")
		assert.NotContains(t, errs, fake.Secrets("webhook-1")[0])
	}
}

func TestSetupUsage(t *testing.T) {
	_, vars := newAPI(t)
	for _, tt := range []struct{ args, text string }{
		{"setup", "it needs -url"},
		{"setup " + endpoint, "belongs after -url"},
		{"setup -url http://example.com/", "must begin with https://"},
		{"setup -url https://localhost/x", "loopback"},
		{"setup -url https://127.9.9.9/x", "loopback"},
		{"setup -url https://a:b@example.com/x", "password"},
		{"setup -url https://example.com/#x", "fragment"},
		{"setup -url https://example.com/ -events batch.cancelled", "refuses the subscription"},
		{"setup -url https://example.com/ -events ,", "empty type"},
		{"rotate", "ID of a webhook or -url"},
		{"rotate a -url https://example.com/", "put the flag -url before"},
		{"rotate -url https://example.com/ a", "ID of a webhook or -url"},
		{"delete", "takes the ID"},
		{"delete a", "not a terminal"},
		{"delete -json a", "-yes"},
		{"list a", "no arguments"},
	} {
		status, out, errs := call(t, "", vars, strings.Fields(tt.args)...)
		assert.Equal(t, exitUsage, status, tt.args)
		assert.Contains(t, flat(errs), tt.text, tt.args)
		assert.Empty(t, out, tt.args)
	}
	status, _, errs := call(t, "", nil, "setup", "-url", endpoint)
	assert.Equal(t, exitUsage, status)
	assert.Contains(t, errs, "GEMINI_API_KEY")
}

// TestSetupRefused: what the API refuses is explained, and the key is nowhere.
func TestSetupRefused(t *testing.T) {
	for _, tt := range []struct {
		request string
		status  int
		body    string
		text    string
	}{
		{"GET /webhooks", 401, "Request had invalid authentication credentials.", "check the API key"},
		{"GET /webhooks", 403, "Consumer 'api_key:" + fakeapi.Key + "' has been suspended.", "api_key:[API key]"},
		{"GET /webhooks", 429, "Quota exceeded.", "wait a minute"},
		{"GET /webhooks", 500, "Internal error.", "500 Internal Server Error"},
		{"GET /webhooks", 503, "not JSON " + hostile, `\x1b[2J`},
		{"GET /webhooks", 307, "{}", "redirect (307)"},
		{"POST /webhooks", 400, "Invalid uri.", "Invalid uri"},
		{"POST /webhooks", 503, "Try again.", "may have been created"},
	} {
		fake, vars := newAPI(t)
		fake.Fail(tt.request, tt.status, tt.body)
		status, out, errs := call(t, "", vars, "setup", "-url", endpoint)
		assert.Equal(t, exitFailed, status, tt.request)
		assert.Contains(t, flat(errs), tt.text)
		assert.NotContains(t, out+errs, fakeapi.Key)
		assertVisible(t, errs)
		assert.Empty(t, fake.IDs())
		for _, r := range fake.Requests() {
			assert.NotContains(t, r, fakeapi.Key, "the key is never in a URL")
		}
	}
	_, vars := newAPI(t)
	_, _, errs := call(t, "", with(vars, "GEMINI_API_KEY", "wrong"), "list")
	assert.Contains(t, flat(errs), "check the API key")
	_, _, errs = call(t, "", with(vars, "GOOGLE_GEMINI_BASE_URL", "http://example.com"), "list")
	assert.Contains(t, flat(errs), "must be an https URL")
	_, _, errs = call(t, "", with(vars, "GOOGLE_GEMINI_BASE_URL", closed),
		"setup", "-url", endpoint)
	assert.Contains(t, flat(errs), "could not be reached")
	assert.NotContains(t, errs, "nonetheless")
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// buildServer builds examples/server and returns its path.
func buildServer(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "server.exe") // a name that every system can run
	build := exec.Command("go", "build", "-o", name, "./examples/server")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return name
}

// startServer runs the server until stop is called, and returns its URL.
func startServer(t *testing.T, name, secrets string) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	server := exec.CommandContext(ctx, name)
	server.Env = append(os.Environ(), "GEMINI_WEBHOOK_SECRET="+secrets, "ADDR=127.0.0.1:0")
	stderr, err := server.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	stop = func() { cancel(); _ = server.Wait() }
	t.Cleanup(stop)
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return regexp.MustCompile(`http://[^\s"]+`).FindString(first), stop
}

// hour is the first hour of a new user: a webhook, its secret in a file, and a
// deployed endpoint.
type hour struct {
	t      *testing.T
	fake   *fakeapi.Server
	vars   map[string]string
	env    string // the file
	server string // the program
	url    string // of the endpoint
	stop   func()
}

// deploy restarts the server with the secrets in the file.
func (h *hour) deploy() {
	h.t.Helper()
	if h.stop != nil {
		h.stop()
	}
	_, secrets, _ := strings.Cut(strings.TrimSpace(readable(h.t, h.env)), "=")
	h.url, h.stop = startServer(h.t, h.server, secrets)
}

// doctor runs the doctor and returns what is not ok, by the names of the checks.
func (h *hour) doctor(args ...string) (status int, found map[string]doctor.Level, out string) {
	h.t.Helper()
	args = append([]string{"doctor", "-json", "-env", h.env, "-jwks", h.fake.Keys.URL}, args...)
	status, out, errs := call(h.t, "", h.vars, args...)
	assert.Empty(h.t, errs)
	assert.NotContains(h.t, out, fakeapi.Key)
	found = map[string]doctor.Level{}
	for line := range strings.Lines(out) {
		var r doctor.Result
		require.NoError(h.t, json.Unmarshal([]byte(line), &r), line)
		if r.Level != doctor.OK {
			found[r.Check] = r.Level
		}
	}
	return status, found, out
}

// healthy checks that the doctor finds nothing.
func (h *hour) healthy() {
	h.t.Helper()
	status, found, out := h.doctor("-endpoint", h.url)
	assert.Zero(h.t, status, out)
	assert.Empty(h.t, found, out)
	assert.Greater(h.t, strings.Count(out, `"ok"`), 35, out)
}

func TestFirstHour(t *testing.T) {
	fake, vars := newAPI(t)
	h := &hour{t: t, fake: fake, vars: vars, env: filepath.Join(t.TempDir(), ".env"), server: buildServer(t)}

	ok(t, vars, "setup", "-url", endpoint, "-env", h.env)
	h.deploy()
	status, err := fake.Deliver(t.Context(), "webhook-1", geminihook.EventBatchSucceeded, h.url)
	require.NoError(t, err)
	assert.Equal(t, 200, status, "what Google delivers")
	assert.Contains(t, ok(t, vars, "send", "-secret-file", h.env, "-set", "data.id=batches/42", h.url), "1 x 200 OK")
	h.healthy()

	ok(t, vars, "rotate", "-env", h.env, "-url", endpoint)
	status, err = fake.Deliver(t.Context(), "webhook-1", geminihook.EventBatchSucceeded, h.url)
	require.NoError(t, err)
	assert.Equal(t, 200, status, "the old secret is still valid")
	_, found, _ := h.doctor("-endpoint", h.url)
	assert.Equal(t, doctor.Failure, found["endpoint: genuine delivery"], "the new secret is not deployed yet")
	h.deploy()
	h.healthy()
	out := ok(t, vars, "doctor", "-env", h.env, "-jwks", fake.Keys.URL, "-endpoint", h.url)
	assert.Contains(t, out, "warnings: 0, failures: 0")
	plantFaults(t, h)
	assert.Contains(t, ok(t, vars, "delete", "-yes", "webhook-1"), "Deleted")
}

// plantFaults plants faults, one after another, and checks that the doctor finds
// each by its name, and nothing when it is mended.
func plantFaults(t *testing.T, h *hour) {
	good := readable(t, h.env)
	env := func(text string, mode os.FileMode) func() {
		return func() {
			require.NoError(t, os.WriteFile(h.env, []byte(text), mode))
			require.NoError(t, os.Chmod(h.env, mode))
		}
	}
	mendEnv := env(good, 0o600)
	right := h.url
	stranger := webhooktest.NewSecret()
	for _, tt := range []struct {
		check       string
		level       doctor.Level
		plant, mend func()
	}{
		{
			"API key", doctor.Failure,
			func() { h.vars["GEMINI_API_KEY"] = "wrong" }, func() { h.vars["GEMINI_API_KEY"] = fakeapi.Key },
		},
		{
			"API key", doctor.Warning,
			func() { h.vars["GOOGLE_API_KEY"], h.vars["GEMINI_API_KEY"] = fakeapi.Key, "other" },
			func() { h.vars["GOOGLE_API_KEY"], h.vars["GEMINI_API_KEY"] = "", fakeapi.Key },
		},
		{
			"webhook webhook-1 state", doctor.Failure,
			func() { h.fake.SetState("webhook-1", "disabled_due_to_failed_deliveries") },
			func() { ok(t, h.vars, "setup", "-update", "-url", endpoint, "-env", h.env) },
		},
		{
			"webhook webhook-1 URL", doctor.Failure,
			func() { h.fake.SetURL("webhook-1", "http://example.com/gemini") }, func() { h.fake.SetURL("webhook-1", endpoint) },
		},
		{
			"webhook webhook-1 events", doctor.Warning,
			func() { h.fake.SetEvents("webhook-1", "batch.succeeded") },
			func() {
				ok(t, h.vars, "setup", "-update", "-url", endpoint, "-env", h.env, "-events", strings.Join(api.Events(), ","))
			},
		},
		{
			"webhook webhook-1 secret", doctor.Failure,
			env("GEMINI_WEBHOOK_SECRET="+h.fake.Secrets("webhook-1")[1]+"\n", 0o600), mendEnv,
		},
		{"secret " + secretName(stranger), doctor.Warning, env(strings.TrimSpace(good)+","+stranger+"\n", 0o600), mendEnv},
		{"secrets", doctor.Failure, env(strings.TrimSpace(good)+",whsec_...3frh\n", 0o600), mendEnv},
		{"secret file", doctor.Warning, env(good, 0o644), mendEnv},
		{
			"clock", doctor.Failure,
			func() { h.fake.SetClock(func() time.Time { return time.Now().Add(10 * time.Minute) }) }, func() { h.fake.SetClock(time.Now) },
		},
		{
			"key set", doctor.Failure,
			func() { h.fake.Keys.SetHandler(http.NotFoundHandler()) }, func() { h.fake.Keys.SetKeys(webhooktest.Public(webhooktest.Key(0))) },
		},
		{
			"endpoint: genuine delivery", doctor.Failure,
			func() { h.url, _ = startServer(t, h.server, stranger) }, func() { h.url = right },
		},
		{
			"endpoint: forged signature", doctor.Failure,
			func() { h.url = acceptAll(t) }, func() { h.url = right },
		},
		{
			"webhook webhook-2 twice", doctor.Warning,
			func() { ok(t, h.vars, "setup", "-url", endpoint+"2"); h.fake.SetURL("webhook-2", endpoint) },
			func() { ok(t, h.vars, "delete", "-yes", "webhook-2") },
		},
	} {
		args := []string{}
		if strings.HasPrefix(tt.check, "endpoint") {
			args = []string{"-endpoint", h.url}
		}
		tt.plant()
		if len(args) > 0 {
			args[1] = h.url
		}
		status, found, out := h.doctor(args...)
		assert.Equal(t, tt.level, found[tt.check], "%s: %s", tt.check, out)
		want := exitOK
		if tt.level == doctor.Failure {
			want = exitFailed
		}
		if tt.check != "webhook webhook-2 twice" { // whose secret nobody has kept
			assert.Equal(t, want, status, tt.check)
		}
		tt.mend()
		status, found, out = h.doctor()
		assert.Zero(t, status, "%s: %s", tt.check, out)
		assert.Empty(t, found, tt.check)
	}
	h.healthy()
}

// TestDoctorWithout: without a key or a secret, the doctor says so and goes on.
func TestDoctorWithout(t *testing.T) {
	fake, _ := newAPI(t)
	status, out, _ := call(t, "", nil, "doctor", "-jwks", fake.Keys.URL, "-endpoint", acceptAll(t))
	assert.Equal(t, exitFailed, status)
	narrow(t, out)
	for _, text := range []string{"failure  API key: not set", "failure  secrets: no secret is configured", "ok       clock", "ok       key set", "warning  endpoint: endpoint"} {
		assert.Contains(t, out, text)
	}
}

func TestDoctorUsage(t *testing.T) {
	for args, want := range map[string]int{
		"doctor x":            exitUsage,
		"doctor -endpoint x":  exitUsage,
		"doctor -env missing": exitFailed,
		"doctor -h":           exitOK,
	} {
		status, _, _ := call(t, "", nil, strings.Fields(args)...)
		assert.Equal(t, want, status, args)
	}
}

// TestDoctorHostile: nothing from the network reaches the terminal unescaped.
func TestDoctorHostile(t *testing.T) {
	fake, vars := newAPI(t)
	ok(t, vars, "setup", "-url", endpoint)
	fake.SetState("webhook-1", hostile)
	fake.SetURL("webhook-1", "https://example.com/"+hostile)
	fake.SetEvents("webhook-1", hostile)
	fake.Keys.SetHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, hostile) }))
	bad := respondWith(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{"http://x/\u009b31m\u202e"}
		w.WriteHeader(http.StatusFound)
	})
	for _, flags := range [][]string{nil, {"-json"}} {
		_, out, errs := call(t, "", with(vars, "GEMINI_WEBHOOK_SECRET", fake.Secrets("webhook-1")[0]),
			append([]string{"doctor", "-jwks", fake.Keys.URL, "-endpoint", bad}, flags...)...)
		assert.Contains(t, out, "redirect")
		assertVisible(t, out)
		assertVisible(t, errs)
	}
}

// respondWith starts a server and returns its URL.
func respondWith(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/fakeapi"
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

	dir           string // of the listener's files
	receive, page string // its URLs
}

// shown is a delivery as the page shows it in JSON.
type shown struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Job      string `json:"job"`
	Verified bool   `json:"verified"`
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"`
	Status   int    `json:"status"`
	Key      string `json:"key"`
}

// listen starts the listener in front of the program, as a tunnel reaches it.
func (h *hour) listen() (end func() string) {
	h.t.Helper()
	h.dir = h.t.TempDir()
	h.receive, h.page, end = listening(h.t, "-forward", h.url, "-secret-file", h.env, "-dir", h.dir)
	return end
}

// google delivers an event to the listener as Google does, and returns the status.
func (h *hour) google(event geminihook.EventType) int {
	h.t.Helper()
	status, err := h.fake.Deliver(h.t.Context(), "webhook-1", event, h.receive)
	assert.NoError(h.t, err)
	return status
}

// get asks the page and returns the status of its response.
func (h *hour) get(path string, into any) int {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.page+path, nil)
	if !assert.NoError(h.t, err) {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+pageToken)
	resp, err := http.DefaultClient.Do(req)
	if !assert.NoError(h.t, err) {
		return 0
	}
	defer resp.Body.Close()
	assert.NoError(h.t, json.NewDecoder(resp.Body).Decode(into))
	return resp.StatusCode
}

// wait waits until the page has an event of the type.
func (h *hour) wait(event geminihook.EventType) (d shown) {
	h.t.Helper()
	assert.Equal(h.t, http.StatusOK, h.get("api/wait?type="+string(event), &d))
	return d
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

// TestFirstHour is docs/first-hour.md as a script.
func TestFirstHour(t *testing.T) {
	fake, vars := newAPI(t)
	h := &hour{
		t: t, fake: fake, vars: vars, env: filepath.Join(t.TempDir(), ".env"),
		server: buildServer(t),
	}
	ok(t, vars, "setup", "-url", endpoint, "-env", h.env)
	h.deploy()
	end := h.listen()
	deliverAndSee(t, h)
	h.healthy()

	ok(t, vars, "rotate", "-env", h.env, "-url", endpoint)
	assert.Equal(t, http.StatusOK, h.google(geminihook.EventInteractionCompleted), "the old secret is still valid")
	_, found, _ := h.doctor("-endpoint", h.url)
	assert.Equal(t, doctor.Failure, found["endpoint: genuine delivery"], "the new secret is not deployed yet")
	end()
	h.deploy()
	h.listen()
	assert.Equal(t, http.StatusOK, h.google(geminihook.EventInteractionFailed))
	assert.Equal(t, secretName(fake.Secrets("webhook-1")[0]),
		h.wait(geminihook.EventInteractionFailed).Key, "the new one")
	h.healthy()
	out := ok(t, vars, "doctor", "-env", h.env, "-jwks", fake.Keys.URL, "-endpoint", h.url)
	assert.Contains(t, out, "warnings: 0, failures: 0")
	plantFaults(t, h)
	assert.Contains(t, ok(t, vars, "delete", "-yes", "webhook-1"), "Deleted")
}

// deliverAndSee delivers through the listener to the program, and looks at what
// the page has in JSON.
func deliverAndSee(t *testing.T, h *hour) {
	waited := make(chan shown, 1)
	go func() { waited <- h.wait(geminihook.EventBatchSucceeded) }()
	assert.Equal(t, http.StatusOK, h.google(geminihook.EventBatchSucceeded), "what Google delivers")
	first := <-waited
	assert.Equal(t,
		shown{first.ID, "batch.succeeded", first.Job, true, "", 1, http.StatusOK, first.Key}, first)
	assert.Equal(t, secretName(h.fake.Secrets("webhook-1")[0]), first.Key)

	send := func(args ...string) string {
		t.Helper()
		return ok(t, h.vars,
			append(append([]string{"send", "-secret-file", h.env}, args...), h.receive)...)
	}
	assert.Contains(t, send("-type", "video.generated", "-set", "data.id=operations/42"), "1 x 200 OK")
	files, err := filepath.Glob(filepath.Join(h.dir, "*-video.generated-*.http"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	status, out, _ := call(t, "", h.vars, "verify", "-secret-file", h.env, files[0])
	assert.Zero(t, status, out)
	assert.Contains(t, send("-replay", files[0], "-resign"), "1 x 200 OK")
	assert.Contains(t, send("-tamper", "-type", "batch.failed"), "1 x 400 Bad Request")

	var all []shown
	assert.Equal(t, http.StatusOK, h.get("api/deliveries", &all))
	require.Len(t, all, 3, "the newest first")
	forged, video := all[0], all[1]
	assert.Contains(t, forged.Reason, "did not make the signature")
	assert.Equal(t, shown{
		forged.ID, "batch.failed", forged.Job, false, forged.Reason, 1, http.StatusBadRequest,
		"",
	}, forged)
	assert.Equal(t, shown{
		video.ID, "video.generated", "operations/42", true, "", 2, http.StatusOK, first.Key,
	}, video)
	assert.Equal(t, first, all[2])

	var latest shown
	assert.Equal(t, http.StatusOK, h.get("api/deliveries/latest?type=video.generated", &latest))
	assert.Equal(t, video, latest)
	assert.Equal(t, http.StatusNotFound, h.get("api/deliveries/latest?type=batch.failed", &latest), "nobody has verified its type")
}

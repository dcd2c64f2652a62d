package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// call runs a command in this process.
func call(
	t *testing.T, in string, vars map[string]string, args ...string,
) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, &env{
		in: strings.NewReader(in), out: &o, err: &e, getenv: lookUp(vars),
	})
	return status, o.String(), e.String()
}

// lookUp returns a getenv.
func lookUp(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// flat returns the text without its line breaks, which depend on what is in it.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// pageToken opens the page of "listen" in tests.
const pageToken = "page-token-of-the-tests"

var vars = map[string]string{
	"GEMINI_WEBHOOK_SECRET": webhooktest.TestSecret, "GEMINIHOOK_TOKEN": pageToken,
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args   string
		status int
		text   string // on standard output for 0, else on standard error
	}{
		{"", 2, "usage: geminihook COMMAND"},
		{"-h", 0, "usage: geminihook COMMAND"},
		{"help", 0, "usage: geminihook COMMAND"},
		{"help", 0, "The exit status is 0"},
		{"fly", 2, `unknown command "fly"`},
		{"send -h", 0, "-duplicates FRACTION"},
		{"listen -h", 0, "-dir FOLDER"},
		{"listen -h", 0, "\n  geminihook send http://127.0.0.1:8090/        # in another terminal\n\n"},
		{"verify -h", 0, "-secret-file FILE"},
		{"secret -h", 0, "fresh signing secret"},
		{"send", 2, "it takes one URL"},
		{"send localhost:8080", 2, "must begin with http"},
		{"send -n 0 http://localhost/", 2, "-n must be"},
		{"send -duplicates 2 http://localhost/", 2, "-duplicates must be"},
		{"send -nonsense http://localhost/", 2, "not defined: -nonsense"},
		{"send http://localhost/", 2, "no secret"},
		{"send -file missing.http http://localhost/", 2, "no secret"},
		{"listen x", 2, "takes no arguments"},
		{"listen", 2, "nothing to verify with"},
		{"listen -google -ui 0.0.0.0:8091", 2, "-ui must be a loopback address"},
		{"listen -google -addr 127.0.0.1:0 -forward localhost:8080", 2, "-forward must be a URL"},
		{"verify", 2, "takes files"},
		{"secret x", 2, "takes no arguments"},
		{"verify -secret-file missing x", 1, "missing"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			status, out, errs := call(t, "", nil, strings.Fields(tt.args)...)
			assert.Equal(t, tt.status, status)
			if tt.status == 0 {
				assert.Contains(t, out, tt.text)
				assert.Empty(t, errs)
			} else {
				narrow(t, errs)
				assert.Contains(t, flat(errs), tt.text)
				assert.Empty(t, out)
			}
		})
	}
	status, _, errs := call(t, "", map[string]string{"GEMINI_WEBHOOK_SECRET": "whsec_...3frh"},
		"send", "http://localhost/")
	assert.Equal(t, 1, status)
	assert.Contains(t, errs, "truncated")
}

func TestSecret(t *testing.T) {
	status, out, _ := call(t, "", nil, "secret")
	assert.Zero(t, status)
	_, err := geminihook.ParseSecret(out)
	require.NoError(t, err)
}

// build builds the command as "go install" does.
func build(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "geminihook")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return name
}

// TestRoundTrip runs the built command. It checks that listen writes what send
// sends, that verify accepts it, and that sending it again gives the same events.
func TestRoundTrip(t *testing.T) {
	command, dir := build(t), t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	secretFile := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secretFile, []byte(webhooktest.TestSecret+"\n"), 0o600))
	port, err := testserver.FreePort()
	require.NoError(t, err)
	keyServer := fmt.Sprintf("127.0.0.1:%d", port)

	recorder := exec.CommandContext(ctx, command, "listen", "-addr", "127.0.0.1:0", "-ui",
		"127.0.0.1:0", "-dir", dir, "-secret-file", secretFile, "-jwks", "http://"+keyServer+"/")
	recorder.Cancel = func() error { return recorder.Process.Kill() }
	stdout, err := recorder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, recorder.Start())
	defer func() { stop(); _ = recorder.Wait() }()
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	url := regexp.MustCompile(`http://\S+/`).FindString(first)
	go func() { _, _ = io.Copy(io.Discard, lines) }()

	sending := func(args ...string) (int, string) {
		c := exec.Command(command, append(append([]string{"send"}, args...), url)...)
		c.Env = append(os.Environ(), "GEMINI_WEBHOOK_SECRET="+webhooktest.TestSecret)
		out, _ := c.CombinedOutput()
		return c.ProcessState.ExitCode(), string(out)
	}
	for _, tt := range []struct {
		args   string
		status int
		text   string
	}{
		{"-type batch.failed", 0, "1 x 200 OK"},
		{"-n 30", 0, "30 of 30 acknowledged"},
		{"-dynamic -jwks " + keyServer + " -type video.generated", 0, "1 x 200 OK"},
		{"-file ../../testdata/deliveries/unknown-type.http", 0, "batch.paused"},
		{"-tamper", 0, "400 Bad Request"},
		{"-stale", 0, "400 Bad Request"},
	} {
		status, out := sending(strings.Fields(tt.args)...)
		assert.Equal(t, tt.status, status, out)
		assert.Contains(t, out, tt.text)
		assert.NotContains(t, out, webhooktest.TestSecret[6:], "no secret is printed")
		assert.NotContains(t, out, "\x1b", "colors are for terminals")
		for line := range strings.Lines(out) {
			assert.LessOrEqual(t, len([]rune(line)), 81, line)
		}
	}
	recorded, err := webhooktest.Load(os.DirFS(dir), "*.http")
	require.NoError(t, err)
	assert.Len(t, recorded, 33)

	names, err := filepath.Glob(filepath.Join(dir, "*batch*.http"))
	require.NoError(t, err)
	status, out, errs := call(t, "", vars, append([]string{"verify"}, names...)...)
	assert.Zero(t, status, "%s%s", out, errs)
	assert.Equal(t, len(names), strings.Count(out, "genuine"))

	seen := map[string]bool{}
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	handler := endpoint.Handler(func(_ context.Context, ev *geminihook.Event) error {
		seen[ev.ID+string(ev.Raw)] = true
		return nil
	})
	sender := &webhooktest.Sender{Handler: handler, Signers: []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)}, Concurrency: 1}
	for _, r := range recorded {
		_, err := sender.Deliver(t.Context(), r.Delivery)
		require.NoError(t, err)
		assert.True(t, seen[r.ID()+string(r.Body)])
	}
}

// closed is an address at which nothing listens, because systems give its port to
// nobody.
const closed = "http://127.0.0.1:1/"

// TestSendFails checks that the exit status is 1 if a delivery is not
// acknowledged, or if a bad delivery is not refused.
func TestSendFails(t *testing.T) {
	status, out, errs := call(t, "", vars, "send", closed)
	assert.Equal(t, 1, status)
	assert.Contains(t, out, "no response")
	assert.Contains(t, errs, "refused")
	narrow(t, errs)

	server := acceptAll(t)
	status, _, _ = call(t, "", vars, "send", "-tamper", server)
	assert.Equal(t, 1, status, "a receiver that accepts a forged delivery")
	status, _, _ = call(t, "", vars, "send", server)
	assert.Zero(t, status)
	for code, want := range map[int]int{400: 0, 401: 0, 403: 0, 404: 1, 405: 1, 500: 1} {
		status, _, _ = call(t, "", vars, "send", "-stale", respondAll(t, code))
		assert.Equal(t, want, status, "response %d to a stale delivery", code)
	}
	status, out, _ = call(t, "", vars, "send", "-retry", "-give-up", "1ms", closed)
	assert.Equal(t, 1, status)
	assert.Contains(t, out, "attempts: 1")
}

func TestColors(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, like a terminal
	require.NoError(t, err)
	defer null.Close()
	none := func(string) string { return "" }
	assert.Equal(t, "\x1b[32mok\x1b[0m", (&env{out: null, getenv: none}).paint(green, "ok"))
	assert.Equal(t, "ok", (&env{out: null, getenv: func(name string) string {
		return map[string]string{"NO_COLOR": "1"}[name]
	}}).paint(green, "ok"))
	assert.Equal(t, "ok", (&env{out: new(bytes.Buffer), getenv: none}).paint(green, "ok"))
}

func TestListenEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	status := run(ctx,
		[]string{
			"listen", "-addr", "127.0.0.1:0", "-ui", "127.0.0.1:0", "-dir",
			filepath.Join(t.TempDir(), "new"),
		},
		&env{out: &out, err: &out, getenv: lookUp(vars)})
	assert.Zero(t, status, out.String())
}

// TestSendRedirect checks that a redirect is not followed, and is reported as a
// failure.
func TestSendRedirect(t *testing.T) {
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		stolen.Add(1)
	}))
	defer thief.Close()
	server := httptest.NewServer(http.RedirectHandler(thief.URL+"/elsewhere",
		http.StatusTemporaryRedirect))
	defer server.Close()
	for _, flags := range []string{"", "-tamper", "-stale"} {
		status, out, errs := call(t, "", vars,
			append(append([]string{"send"}, strings.Fields(flags)...), server.URL)...)
		assert.Equal(t, 1, status, flags)
		assert.Contains(t, out, "307 Temporary Redirect")
		assert.Contains(t, out, "0 of 1 acknowledged")
		assert.Contains(t, errs, thief.URL+"/elsewhere")
	}
	assert.Zero(t, stolen.Load())
}

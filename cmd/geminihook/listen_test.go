package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listening runs the command until the test ends and returns the URLs of its two
// ports and a function that ends it and returns its output.
func listening(t *testing.T, args ...string) (receive, page string, end func() string) {
	t.Helper()
	return listeningWith(t, vars, args...)
}

// listeningWith is listening with other environment variables.
func listeningWith(
	t *testing.T, vars map[string]string, args ...string,
) (receive, page string, end func() string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	status := make(chan int, 1)
	go func() {
		args := append([]string{"listen", "-addr", "127.0.0.1:0", "-ui", "127.0.0.1:0"}, args...)
		status <- run(ctx, args, &env{out: w, err: w, getenv: lookUp(vars)})
		_ = w.Close()
	}()
	head := make([]byte, 0, 1024)
	urls := regexp.MustCompile(`http://\S+/`)
	for len(urls.FindAll(head, -1)) < 2 {
		buf := make([]byte, 1024)
		n, err := r.Read(buf)
		require.NoError(t, err)
		head = append(head, buf[:n]...)
	}
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(r)
		rest <- string(text)
	}()
	found := urls.FindAllString(string(head), -1)
	return found[0], found[1], func() string {
		stop()
		assert.Zero(t, <-status)
		return string(head) + <-rest
	}
}

// TestListen checks what the terminal shows of each kind of request.
func TestListen(t *testing.T) {
	failing := true
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failing {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer program.Close()
	receive, page, end := listening(t, "-forward",
		strings.Replace(program.URL, "http://", "http://user:password@", 1))
	status, _, _ := call(t, "", vars, "send", receive)
	assert.Equal(t, 1, status)
	failing = false
	d := webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Static(webhooktest.TestSecret))
	for range 2 {
		req, err := d.ClientRequest(receive)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	status, _, _ = call(t, "", vars, "send", "-tamper", receive)
	assert.Zero(t, status)
	for _, url := range []string{receive, page} {
		resp, err := http.Get(url)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	out := end()
	for _, want := range []string{
		"500  genuine       batch.succeeded", "200  genuine       video.generated", "200  duplicate     video.generated",
		"400  not accepted  batch.succeeded", "did not make the signature", "405  probe\n",
	} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "password")
	assert.NotContains(t, out, webhooktest.TestSecret[6:])
	for line := range strings.Lines(out) {
		assert.LessOrEqual(t, len([]rune(line)), 81, line)
	}
}

// TestListenToken: the printed address opens the page, also if the output is JSON.
func TestListenToken(t *testing.T) {
	for _, flags := range [][]string{nil, {"-json"}} {
		ctx, stop := context.WithCancel(t.Context())
		var out, errs safeBuffer
		ended := make(chan int, 1)
		go func() {
			args := []string{"listen", "-addr", "127.0.0.1:0", "-ui", "127.0.0.1:0"}
			args = append(args, flags...)
			only := map[string]string{"GEMINI_WEBHOOK_SECRET": webhooktest.TestSecret}
			ended <- run(ctx, args, &env{out: &out, err: &errs, getenv: lookUp(only)})
		}()
		address := regexp.MustCompile(`http://\S+\?token=\S+`)
		var url string
		require.Eventually(t, func() bool {
			url = address.FindString(out.String() + errs.String())
			return url != ""
		}, time.Minute, time.Millisecond)
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		resp, err := (&http.Client{Jar: jar}).Get(url)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		stop()
		assert.Zero(t, <-ended)
		assert.Equal(t, flags == nil, strings.Contains(out.String(), "?token="), "not among the lines for scripts")
	}
}

// safeBuffer is a buffer for a command that runs beside the test.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestListenExplains checks that the reasons are those of "verify".
func TestListenExplains(t *testing.T) {
	receive, page, end := listening(t)
	d := webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Static(webhooktest.TestSecret))
	d.Body = append(d.Body, '\n')
	req, err := d.ClientRequest(receive)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	resp, err = http.Get(page + "api/deliveries/1?token=" + pageToken)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	const hint = "The signature matches after removing a trailing newline or other white space from the body"
	assert.Contains(t, string(text), hint)
	assert.Contains(t, flat(end()), hint)
}

// TestListenRefused checks that "verify" knows when a file of -dir was refused.
func TestListenRefused(t *testing.T) {
	dir := t.TempDir()
	receive, _, _ := listening(t, "-dir", dir)
	ok(t, vars, "send", "-stale", receive)
	files, err := filepath.Glob(filepath.Join(dir, "refused", "*.http"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	status, out, _ := call(t, "", vars, "verify", files[0])
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, out, "not accepted\n")
	assert.Contains(t, flat(out), "before the time on the receiver's clock")
}

// TestNotice checks the two forms of a line, with hostile text in each field.
func TestNotice(t *testing.T) {
	var out bytes.Buffer
	e := &env{out: &out, err: &out, getenv: func(string) string { return "" }}
	n := listen.Notice{
		At: time.Now(), Status: 400, Verdict: "not accepted", ID: hostile, Type: hostile,
		Attempt: 1, Note: hostile,
		Reasons: []string{hostile, "because 日本 \U0001f600"},
	}
	e.notice(n)
	assertVisible(t, out.String())
	assert.Contains(t, out.String(), `\x1b[2J`)
	assert.Equal(t, 4, strings.Count(out.String(), "\n"))
	out.Reset()
	require.NoError(t, e.line(n))
	assertVisible(t, out.String())
	assert.Equal(t, 1, strings.Count(out.String(), "\n"))
	var back listen.Notice
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	assert.Equal(t, n.ID, back.ID)
	assert.Equal(t, n.Reasons, back.Reasons)
	out.Reset()
	e.problem(&usageError{hostile})
	assertVisible(t, out.String())
}

// TestProbeColor checks that a request that is not a POST is not red.
func TestProbeColor(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, like a terminal
	require.NoError(t, err)
	defer null.Close()
	e := &env{out: null, getenv: func(string) string { return "" }}
	assert.Equal(t, "405", e.statusText(listen.Notice{Status: 405, Verdict: "probe"}))
	assert.Equal(t, red+"405"+reset, e.statusText(listen.Notice{Status: 405, Verdict: "genuine"}))
	assert.Equal(t, red+"400"+reset,
		e.statusText(listen.Notice{Status: 400, Verdict: "not accepted"}))
	assert.Equal(t, green+"204"+reset, e.statusText(listen.Notice{Status: 204, Verdict: "genuine"}))
}

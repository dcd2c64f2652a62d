package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSet(t *testing.T) {
	for _, tt := range []struct{ name, body, set, want string }{
		{"a text", `{"data":{"id":"a"}}`, "data.id=batches/42", `{"data":{"id":"batches/42"}}`},
		{"a text that looks like a number", `{"data":{}}`, "data.id=42", `{"data":{"id":"42"}}`},
		{"an empty text", `{"data":{}}`, "data.id=", `{"data":{"id":""}}`},
		{"a text with =", `{}`, "a=b=c", `{"a":"b=c"}`},
		{"JSON", `{}`, `a:={"b":[1,null]}`, `{"a":{"b":[1,null]}}`},
		{"a missing object", `{}`, "a.b.c=d", `{"a":{"b":{"c":"d"}}}`},
		{"null on the way", `{"a":null}`, "a.b=c", `{"a":{"b":"c"}}`},
		{"an element", `{"a":[{"b":"c"},2]}`, "a.0.b=d", `{"a":[{"b":"d"},2]}`},
		{"large numbers stay", `{"n":12345678901234567890.10}`, "a=<&>", `{"a":"<&>","n":12345678901234567890.10}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parseMember(tt.set)
			require.NoError(t, err)
			got, err := setMembers([]byte(tt.body), []member{m})
			require.NoError(t, err)
			assert.Equal(t, tt.want, string(got))
		})
	}
	for _, bad := range []string{"", "a", "=b", "a..b=c", ".a=c", "a:=b", "a:=", "a:=1 2"} {
		_, err := parseMember(bad)
		require.Error(t, err, bad)
	}
	for set, body := range map[string]string{
		"a.b=c": `{"a":"text"}`,
		"a.2=c": `{"a":[1]}`,
		"a.x=c": `{"a":[1]}`,
		"a=b":   "no JSON",
	} {
		m, err := parseMember(set)
		require.NoError(t, err)
		_, err = setMembers([]byte(body), []member{m})
		require.Error(t, err, set)
	}
	unchanged, err := setMembers([]byte("no JSON"), nil)
	require.NoError(t, err)
	assert.Equal(t, "no JSON", string(unchanged))
}

// catcher is a receiver that keeps what it gets.
type catcher struct {
	mu  sync.Mutex
	got []*webhooktest.Delivery
}

func (c *catcher) start(t *testing.T) (url string) {
	return respondWith(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, &webhooktest.Delivery{Header: r.Header, Body: body})
	})
}

func TestSendReplay(t *testing.T) {
	c := &catcher{}
	url := c.start(t)
	signer := webhooktest.Static(webhooktest.TestSecret)
	old := webhooktest.New(geminihook.EventBatchFailed).Sign(time.Now().Add(-48*time.Hour), signer)
	old.Header.Set("X-Extra", "kept")
	path := filepath.Join(t.TempDir(), "old.http")
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, old.Write(file))
	require.NoError(t, file.Close())

	ok(t, nil, "send", "-replay", path, url) // without a secret
	ok(t, vars, "send", "-replay", path, "-resign", "-set", "data.id=batches/42", "-set",
		"data.more:=3", url)
	require.Len(t, c.got, 2)
	for name := range old.Header {
		assert.Equal(t, old.Header.Get(name), c.got[0].Header.Get(name), name)
	}
	assert.Equal(t, string(old.Body), string(c.got[0].Body))

	fresh := c.got[1]
	assert.Equal(t, old.ID(), fresh.ID())
	assert.Equal(t, "kept", fresh.Header.Get("X-Extra"))
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	_, err = verifier.Verify(t.Context(), fresh.Header, fresh.Body)
	require.NoError(t, err)
	ev, err := geminihook.ParseUnverified(fresh.Body)
	require.NoError(t, err)
	assert.Equal(t, "batches/42", ev.JobID())

	for _, tt := range []struct{ args, text string }{
		{"-resign", "-resign needs -replay"},
		{"-replay x -n 2", "-n and -replay exclude each other\n"},
		{"-replay x -file y", "-file and -replay exclude each other\n"},
		{"-replay x -type y", "-type and -replay exclude"},
		{"-replay x -set a=b", "-set and -replay exclude each other, except with -resign"},
		{"-replay x -tamper", "except with -resign"},
		{"-set a", "must have the form"},
	} {
		status, _, errs := call(t, "", vars,
			append(append([]string{"send"}, strings.Fields(tt.args)...), url)...)
		assert.Equal(t, exitUsage, status, tt.args)
		assert.Contains(t, errs, tt.text)
	}
	status, _, errs := call(t, "", vars, "send", "-replay", filepath.Join(t.TempDir(), "missing"),
		url)
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, errs, "missing")
}

func TestSendJSON(t *testing.T) {
	status, out, _ := call(t, "", vars, "send", "-json", "-n", "3", "-type", hostile, acceptAll(t))
	require.Zero(t, status)
	assertVisible(t, out)
	require.Equal(t, 3, strings.Count(out, "\n"))
	for line := range strings.Lines(out) {
		var a attemptLine
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		assert.Equal(t,
			attemptLine{ID: a.ID, Type: hostile, Try: 1, Status: 200, Elapsed: a.Elapsed}, a)
		assert.NotEmpty(t, a.ID)
	}
	status, out, _ = call(t, "", vars, "send", "-json", respondAll(t, 503))
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, out, `"status":503`)
}

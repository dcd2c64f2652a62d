package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPoison is the life of an event that the function fails at: it is recorded,
// found, looked at, delivered again after the fix, and its file disappears.
func TestPoison(t *testing.T) {
	dir := t.TempDir()
	endpoint := recordingEndpoint(t, dir, time.Now)
	var failure error
	send := func(args ...string) (status int, out, errs string) {
		fn := func(context.Context, *geminihook.Event) error { return failure }
		server := httptest.NewServer(endpoint.Handler(fn))
		defer server.Close() // after the endpoint has recorded
		return call(t, "", vars, append(append([]string{"send"}, args...), server.URL)...)
	}
	failure = errors.New("no such order")
	status, _, _ := send("-set", "data.id=batches/42")
	assert.Equal(t, exitFailed, status)
	file := onlyFile(t, dir)
	_, out, _ := call(t, "", vars, "verify", file)
	assert.Contains(t, flat(out), "genuine batch.succeeded")
	assert.Contains(t, flat(out), "The endpoint recorded it as failed at")
	assert.Contains(t, flat(out), "no such order")

	status, out, _ = send("-replay", file, "-resign")
	assert.Equal(t, exitFailed, status, "not fixed yet")
	assert.Contains(t, out, "1 x 500")
	assert.Equal(t, file, onlyFile(t, dir), "a file per event")

	failure = nil
	status, out, errs := send("-replay", file, "-resign")
	assert.Zero(t, status, errs)
	assert.Contains(t, out, "1 x 200 OK")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// TestPoisonDropped: an event that was given up is done in the store, so it needs a
// fresh id to be handled again.
func TestPoisonDropped(t *testing.T) {
	dir := t.TempDir()
	endpoint := recordingEndpoint(t, dir, time.Now)
	runs := 0
	server := httptest.NewServer(endpoint.Handler(func(context.Context, *geminihook.Event) error {
		if runs++; runs > 1 {
			return nil
		}
		return geminihook.Permanent(errors.New("given up"))
	}))
	ok(t, vars, "send", server.URL)
	server.Close()
	server = httptest.NewServer(server.Config.Handler)
	defer server.Close()
	file := onlyFile(t, dir)
	status, out, errs := call(t, "", vars, "send", "-replay", file, "-resign", server.URL)
	assert.Zero(t, status)
	assert.Contains(t, out, "1 x 200 OK")
	assert.Contains(t, flat(errs), "marked it as done")
	assert.Equal(t, 1, runs)
	status, _, errs = call(t, "", vars, "send", "-replay", file, "-resign", "-fresh-id", server.URL)
	assert.Zero(t, status)
	assert.Empty(t, errs)
	assert.Equal(t, 2, runs)
}

// TestSendForce: nobody gets a signature for what does not verify, unless the user
// insists.
func TestSendForce(t *testing.T) {
	signer := webhooktest.Static(webhooktest.TestSecret)
	good := webhooktest.New(geminihook.EventBatchFailed).Sign(time.Now().Add(-48*time.Hour), signer)
	unsigned := &webhooktest.Delivery{Header: good.Header.Clone(), Body: good.Body}
	unsigned.Header.Del("webhook-timestamp")
	unsigned.Header.Del("webhook-signature")
	noID := unsigned.Clone()
	noID.Header.Del("webhook-id")
	dynamic := good.Clone().Sign(time.Now(), webhooktest.Dynamic(webhooktest.Key(1)))
	empty := unsigned.Clone()
	empty.Body = nil
	const process = "Geminihook-Result: failed\r\nGeminihook-Source: Endpoint.Process\r\n"
	const rejected = "Geminihook-Result: rejected\r\nGeminihook-Reason: r\r\n"
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		lines    string
		want     string // the error without -force; empty if there is none
		force    string // the error with it
	}{
		{"genuine", good, "", "", ""},
		{"genuine, failed", good, "Geminihook-Result: failed\r\n", "", ""},
		{"forged", good.Tampered(), rejected, "a stranger may have made it (no signature matches", ""},
		{"another secret", good.WrongSecret(), "", `"geminihook verify" says more`, ""},
		{"dynamic", dynamic, "", `"geminihook verify -google" verifies`, ""},
		{"unsigned", unsigned, "", "webhook-timestamp", ""},
		{"of Process", unsigned, process, "was given to Endpoint.Process: look at it, and sign it with -force", ""},
		{"of Process, no id", noID, process, "was given to Endpoint.Process", ""},
		{"of Process, no body", empty, process, "has no body, because a program made", "has no body"},
		{"not read", empty, rejected + "Geminihook-Body: not read\r\n", "did not read it: r", "has no body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &catcher{}
			url := c.start(t)
			path := filepath.Join(t.TempDir(), "x.http")
			var b bytes.Buffer
			require.NoError(t, tt.delivery.Write(&b))
			content := strings.Replace(b.String(), "\r\n", "\r\n"+tt.lines, 1)
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))

			attempts := [][]string{{"send", "-replay", path, "-resign", url}}
			if tt.lines != "" { // an endpoint has recorded it
				attempts = append(attempts, []string{"send", "-file", path, url})
			}
			for _, args := range attempts {
				status, _, errs := call(t, "", vars, args...)
				assert.Equal(t, tt.want != "", status != 0, errs)
				assert.Contains(t, flat(errs), tt.want)
			}
			if tt.want != "" {
				assert.Empty(t, c.got)
			}
			status, _, errs := call(t, "", vars, "send", "-replay", path, "-resign", "-force", url)
			assert.Equal(t, tt.force != "", status != 0, errs)
			assert.Contains(t, flat(errs), tt.force)
			if tt.force == "" {
				sent := c.got[len(c.got)-1]
				assert.NotEmpty(t, sent.ID())
				assert.Empty(t, sent.Header.Get("Geminihook-Result"))
				require.NoError(t, verifySent(t.Context(), sent, []string{webhooktest.TestSecret}))
			}
		})
	}
	path := filepath.Join(t.TempDir(), "x.http")
	var b bytes.Buffer
	require.NoError(t, good.Write(&b))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	status, _, errs := call(t, "", nil, "send", "-replay", path, "-resign",
		"-dynamic", "-jwks", "127.0.0.1:0", "http://127.0.0.1/")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, flat(errs), "there is no secret to verify it with")

	for _, tt := range []struct{ args, text string }{
		{"-force", "-force needs -resign"},
		{"-replay x -force", "-force needs -resign"},
		{"-replay x -fresh-id", "-fresh-id needs -resign"},
	} {
		args := append([]string{"send"}, strings.Fields(tt.args)...)
		status, _, errs := call(t, "", vars, append(args, "http://127.0.0.1/")...)
		assert.Equal(t, exitUsage, status, tt.args)
		assert.Contains(t, errs, tt.text)
	}
}

// TestVerifyRecorded checks that what package record writes can be verified: a
// middleware outside the endpoint encodes the JSON again, and the receiver's clock is
// fast.
func TestVerifyRecorded(t *testing.T) {
	fast := func() time.Time { return time.Now().Add(2 * time.Hour) }
	sorted := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var v any
			assert.NoError(t, json.NewDecoder(r.Body).Decode(&v))
			b, err := json.Marshal(v)
			assert.NoError(t, err)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			next.ServeHTTP(w, r)
		})
	}
	asIs := func(h http.Handler) http.Handler { return h }
	signer := webhooktest.Static(webhooktest.TestSecret)
	good := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	malformed := good.Clone()
	malformed.Header.Set("webhook-timestamp", "+1")
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		now      func() time.Time
		wrap     func(http.Handler) http.Handler
		status   int
		want     string
	}{
		{"encoded again", good, time.Now, sorted, exitFailed, "with the keys in another order"},
		{"clock", good, fast, asIs, exitFailed, "which is fast by that much"},
		{"not read", malformed, time.Now, asIs, exitFailed, "did not read the body, so the signature cannot be verified. The endpoint recorded it as rejected at"},
		{"failed", good, time.Now, asIs, exitOK, ": poison"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			endpoint := recordingEndpoint(t, dir, tt.now)
			handler := tt.wrap(endpoint.Handler(func(context.Context, *geminihook.Event) error {
				return errors.New("poison")
			}))
			require.Contains(t, []int{400, 500}, webhooktest.Post(handler, tt.delivery))
			status, out, errs := call(t, "", vars, "verify", onlyFile(t, dir))
			assert.Equal(t, tt.status, status, errs)
			assert.Contains(t, flat(out), tt.want)
			explained := tt.name == "encoded again" || tt.name == "clock"
			assert.Equal(t, !explained, strings.Contains(flat(out), "The endpoint recorded it as"))
		})
	}
}

// TestVerifyProcess: an event of Endpoint.Process has no signature, and that is not
// the fault of a proxy.
func TestVerifyProcess(t *testing.T) {
	dir := t.TempDir()
	ev, err := geminihook.ParseUnverified(webhooktest.Body(geminihook.EventBatchFailed))
	require.NoError(t, err)
	ev.ID = "msg_1"
	fn := func(context.Context, *geminihook.Event) error { return errors.New("poison") }
	recordingEndpoint(t, dir, time.Now).Process(t.Context(), ev, fn)
	status, out, errs := call(t, "", vars, "verify", onlyFile(t, dir))
	assert.Equal(t, exitFailed, status, errs)
	assert.Contains(t, flat(out), "given to Endpoint.Process, so it has no signature to verify.")
	assert.Contains(t, flat(out), "The endpoint recorded it as failed at")
	assert.NotContains(t, out, "proxy")
}

// recordingEndpoint returns an endpoint that records into the folder.
func recordingEndpoint(t *testing.T, dir string, now func() time.Time) *geminihook.Endpoint {
	t.Helper()
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	require.NoError(t, err)
	logger := slog.New(slog.DiscardHandler)
	recorder := &record.Recorder{Dir: dir, Now: now, Logger: logger}
	return &geminihook.Endpoint{
		Verifier: &geminihook.HMAC{Secrets: []geminihook.Secret{secret}, Now: now},
		Observe:  recorder.Observe, Logger: logger,
	}
}

// onlyFile returns the path of the only recorded delivery in the folder.
func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.http"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	return files[0]
}

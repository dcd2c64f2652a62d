package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRotate(t *testing.T) {
	fake, vars := newAPI(t)
	path := filepath.Join(t.TempDir(), ".env")
	ok(t, vars, "setup", "-url", endpoint, "-env", path)
	for range 2 {
		out := ok(t, vars, "rotate", "-url", endpoint, "-env", path)
		all := fake.Secrets("webhook-1")
		assert.Equal(t, "GEMINI_WEBHOOK_SECRET="+strings.Join(all, ",")+"\n", readable(t, path), "the newest first")
		assert.Contains(t, out, secretName(all[0]))
		for _, s := range all {
			assert.NotContains(t, out, s)
		}
	}
	all := fake.Secrets("webhook-1")
	require.Len(t, all, 3)
	assertReads(t, path, all)
	out := ok(t, with(vars, "GEMINI_WEBHOOK_SECRET", all[0]), "rotate", "webhook-1")
	fresh := fake.Secrets("webhook-1")[0]
	assert.Contains(t, out, "GEMINI_WEBHOOK_SECRET="+fresh+","+all[0]+"\n")
	out = ok(t, vars, "rotate", "webhook-1")
	assert.Contains(t, out, "The previous secret is not known here")

	var line rotateLine
	require.NoError(t, json.Unmarshal([]byte(ok(t, vars, "rotate", "-json", "webhook-1")), &line))
	assert.Equal(t, fake.Secrets("webhook-1")[0], line.Value)
	assert.Equal(t, secretName(line.Value), line.Secret)

	listed := ok(t, vars, "list")
	assert.Equal(t, 5, strings.Count(listed, " until "), listed)
}

// assertReads requires that a program which reads the file accepts what is signed with
// any of the secrets: with NewHMAC, as the README's first program does, and with
// SecretFile.
func assertReads(t *testing.T, path string, secrets []string) {
	t.Helper()
	value, err := envfile.Get(path, secretVariable)
	require.NoError(t, err)
	parsed, err := geminihook.ParseSecrets(value)
	require.NoError(t, err)
	assert.Len(t, parsed, len(secrets))
	static, err := geminihook.NewHMAC(value)
	require.NoError(t, err)
	file := &geminihook.SecretFile{
		Path: path, Variable: secretVariable, Logger: slog.New(slog.DiscardHandler),
	}
	for _, secret := range secrets {
		d := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Static(secret))
		for _, verifier := range []geminihook.Verifier{static, file} {
			_, err := verifier.Verify(t.Context(), d.Header, d.Body)
			require.NoError(t, err)
		}
	}
}

// TestRotateWithoutRestart: the running program notices each rotation at its next delivery.
func TestRotateWithoutRestart(t *testing.T) {
	fake, vars := newAPI(t)
	path := filepath.Join(t.TempDir(), ".env")
	ok(t, vars, "setup", "-url", endpoint, "-env", path)
	file := &geminihook.SecretFile{
		Path: path, Variable: secretVariable, Logger: slog.New(slog.DiscardHandler),
	}
	require.NoError(t, file.Refresh(t.Context()))
	for range 3 {
		ok(t, vars, "rotate", "-url", endpoint, "-env", path)
		newest := webhooktest.Static(fake.Secrets("webhook-1")[0])
		d := webhooktest.New(geminihook.EventBatchFailed, newest)
		_, err := file.Verify(t.Context(), d.Header, d.Body)
		require.NoError(t, err)
	}
	assert.Equal(t, 4, file.Status().Secrets)
}

// TestRotateLeavesOut: a configured secret that no receiver could use is not kept.
func TestRotateLeavesOut(t *testing.T) {
	fake, vars := newAPI(t)
	path := filepath.Join(t.TempDir(), ".env")
	ok(t, vars, "setup", "-url", endpoint)
	old := webhooktest.RandomSecret()
	require.NoError(t,
		os.WriteFile(path, []byte(`export GEMINI_WEBHOOK_SECRET="whsec_...3frh,`+old+`"`), 0o600))
	status, _, errs := call(t, "", vars, "rotate", "-env", path, "webhook-1")
	require.Zero(t, status, errs)
	assert.Contains(t, flat(errs), "configured secret 1 is left out")
	assert.Equal(t, "export GEMINI_WEBHOOK_SECRET="+fake.Secrets("webhook-1")[0]+","+old+"\n",
		readable(t, path))
}

func TestRotateFails(t *testing.T) {
	fake, vars := newAPI(t)
	ok(t, vars, "setup", "-url", endpoint)
	for _, tt := range []struct{ args, text string }{
		{"rotate nothing", "Webhook not found"},
		{"rotate ../x", "not the id of a webhook"},
		{"rotate a/b", "not the id of a webhook"},
		{"rotate -url https://example.com/none", "no webhook delivers to"},
	} {
		status, _, errs := call(t, "", vars, strings.Fields(tt.args)...)
		assert.Equal(t, exitFailed, status)
		assert.Contains(t, flat(errs), tt.text)
	}
	fake.Fail("POST :rotateSigningSecret", 500, "Internal error.")
	_, _, errs := call(t, "", vars, "rotate", "webhook-1")
	assert.Contains(t, flat(errs), "rotate again within 24 hours")
	assert.Len(t, fake.Secrets("webhook-1"), 1, "a failed rotation is not repeated")
}

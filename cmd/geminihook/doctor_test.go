package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDoctorWithout: without a key or a secret, the doctor says so and goes on.
func TestDoctorWithout(t *testing.T) {
	fake, _ := newAPI(t)
	status, out, _ := call(t, "", nil, "doctor", "-jwks", fake.Keys.URL, "-endpoint", acceptAll(t))
	assert.Equal(t, exitFailed, status)
	narrow(t, out)
	for _, text := range []string{
		"failure  API key: not set", "failure  secrets: no secret is configured",
		"ok       clock", "ok       key set", "warning  endpoint: endpoint",
	} {
		assert.Contains(t, out, text)
	}
}

// TestDoctorEndpointOnly: a deployed endpoint can be tested without an API key, and
// without a request to anything else.
func TestDoctorEndpointOnly(t *testing.T) {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{Verifier: verifier, Logger: slog.New(slog.DiscardHandler)}
	good := respondWith(t, endpoint.Handler(
		func(context.Context, *geminihook.Event) error { return nil }).ServeHTTP)
	secret := webhooktest.RandomSecret()
	configured := map[string]string{"GEMINI_WEBHOOK_SECRET": secret}
	fake, _ := newAPI(t)
	args := []string{"doctor", "-json", "-jwks", fake.Keys.URL, "-endpoint-only", "-endpoint"}
	status, out, errs := call(t, "", vars, append(args, good)...)
	assert.NotContains(t, out, "API key")
	assert.NotContains(t, out, "key set")
	assert.Contains(t, out, "published", "the secret of the tests")
	assert.Equal(t, exitFailed, status, out+errs)
	status, out, errs = call(t, "", configured, append(args, good)...)
	assert.Equal(t, exitFailed, status, out+errs)
	assert.Contains(t, out, "Deploy this secret")

	verifier, err = geminihook.NewHMAC(secret)
	require.NoError(t, err)
	endpoint.Verifier = verifier
	out = ok(t, configured, append(args, good)...)
	assert.NotContains(t, out, `"failure"`)
	assert.NotContains(t, out, `"warning"`)
	assert.Zero(t, fake.Keys.Fetches())
}

func TestDoctorUsage(t *testing.T) {
	for args, want := range map[string]int{
		"doctor x":              exitUsage,
		"doctor -endpoint x":    exitUsage,
		"doctor -endpoint-only": exitUsage,
		"doctor -env missing":   exitFailed,
		"doctor -h":             exitOK,
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
	fake.Keys.SetHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, hostile)
	}))
	bad := respondWith(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{"http://x/\u009b31m\u202e"}
		w.WriteHeader(http.StatusFound)
	})
	for _, flags := range [][]string{nil, {"-json"}} {
		_, out, errs := call(t, "",
			with(vars, "GEMINI_WEBHOOK_SECRET", fake.Secrets("webhook-1")[0]),
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

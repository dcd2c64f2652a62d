package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
	stranger := webhooktest.RandomSecret()
	for _, tt := range []struct {
		check       string
		level       doctor.Level
		plant, mend func()
	}{
		{
			"API key", doctor.Failure,
			func() { h.vars["GEMINI_API_KEY"] = "wrong" }, func() {
				h.vars["GEMINI_API_KEY"] = fakeapi.Key
			},
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
			func() { h.fake.SetURL("webhook-1", "http://example.com/gemini") },
			func() { h.fake.SetURL("webhook-1", endpoint) },
		},
		{
			"webhook webhook-1 events", doctor.Warning,
			func() { h.fake.SetEvents("webhook-1", "batch.succeeded") },
			func() {
				ok(t, h.vars, "setup", "-update", "-url", endpoint, "-env", h.env, "-events",
					strings.Join(api.Events(), ","))
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
			func() {
				h.fake.SetClock(func() time.Time { return time.Now().Add(10 * time.Minute) })
			},
			func() { h.fake.SetClock(time.Now) },
		},
		{
			"key set", doctor.Failure,
			func() { h.fake.Keys.SetHandler(http.NotFoundHandler()) },
			func() { h.fake.Keys.SetKeys(webhooktest.Public(webhooktest.Key(0))) },
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
			func() {
				ok(t, h.vars, "setup", "-url", endpoint+"2")
				h.fake.SetURL("webhook-2", endpoint)
			},
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

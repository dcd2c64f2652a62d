package doctor_test

import (
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const url = "https://example.com/gemini"

// hook returns a healthy webhook with the changes.
func hook(id string, changes ...func(*api.Webhook)) api.Webhook {
	w := api.Webhook{ID: id, URL: url, State: "enabled", Events: api.Events()}
	for _, change := range changes {
		change(&w)
	}
	return w
}

func TestWebhooks(t *testing.T) {
	in := func(state string) func(*api.Webhook) { return func(w *api.Webhook) { w.State = state } }
	at := func(url string) func(*api.Webhook) { return func(w *api.Webhook) { w.URL = url } }
	for _, tt := range []struct {
		name              string
		all               []api.Webhook
		endpoint          string
		failures, warning string
	}{
		{"healthy", []api.Webhook{hook("a")}, url, "", ""},
		{"none", nil, "", "", "webhooks"},
		{"another URL", []api.Webhook{hook("a")}, url + "2", "", "webhooks"},
		{"a local endpoint", []api.Webhook{hook("a")}, "http://127.0.0.1:8080/", "", ""},
		{"disabled", []api.Webhook{hook("a", in("disabled"))}, "", "webhook a state", ""},
		{"disabled by Google", []api.Webhook{hook("a", in("disabled_due_to_failed_deliveries"))}, "", "webhook a state", ""},
		{"unknown state", []api.Webhook{hook("a", in("paused"))}, "", "", "webhook a state"},
		{"http", []api.Webhook{hook("a", at("http://example.com/"))}, "", "webhook a URL", ""},
		{"loopback", []api.Webhook{hook("a", at("https://localhost/"))}, "", "webhook a URL", ""},
		{"private", []api.Webhook{hook("a", at("https://10.1.2.3/"))}, "", "webhook a URL", ""},
		{"events", []api.Webhook{hook("a", func(w *api.Webhook) { w.Events = nil })}, "", "", "webhook a events"},
		{"twice", []api.Webhook{hook("a"), hook("b", at("HTTPS://EXAMPLE.com/gemini"))}, "", "", "webhook b twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results := doctor.Webhooks(tt.all, api.Events(), tt.endpoint)
			assert.Equal(t, tt.failures, names(results, doctor.Failure))
			assert.Equal(t, tt.warning, names(results, doctor.Warning))
		})
	}
}

func TestConfigured(t *testing.T) {
	good := webhooktest.RandomSecret()
	usable, results := doctor.Configured([]string{good, "whsec_...abcd", webhooktest.TestSecret})
	assert.Equal(t, []string{good}, usable)
	assert.Equal(t, "secrets; secret whsec_...MDAx", names(results, doctor.Failure))
	for _, bad := range []string{"sec_" + good[6:], "your_gemini_webhook_secret"} {
		usable, results := doctor.Configured([]string{bad})
		assert.Empty(t, usable)
		assert.Equal(t, "secrets", names(results, doctor.Failure))
	}
	_, results = doctor.Configured(nil)
	assert.Equal(t, "secrets", names(results, doctor.Failure))
}

// TestEqualNames: Google lists four characters, which do not prove that the whole
// secret is right.
func TestEqualNames(t *testing.T) {
	good := webhooktest.RandomSecret()
	damaged := webhooktest.RandomSecret()
	damaged = damaged[:len(damaged)-4] + good[len(good)-4:]
	listed := hook("a", func(w *api.Webhook) { w.Secrets = []api.Secret{{Name: "whsec_..." + good[len(good)-4:]}} })
	results := doctor.Secrets([]api.Webhook{listed}, []string{damaged}, "")
	require.Len(t, results, 1)
	assert.Equal(t, doctor.OK, results[0].Level)
	assert.Contains(t, results[0].Text, "as far as its last four characters tell")
}

func TestSecretsOfWebhooks(t *testing.T) {
	one, two := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	other := webhooktest.RandomSecret()
	name := func(secret string) string { return "whsec_..." + secret[len(secret)-4:] }
	soon := time.Now().Add(time.Hour)
	having := func(newest string, expiring ...string) func(*api.Webhook) {
		return func(w *api.Webhook) {
			w.Secrets = []api.Secret{{Name: name(newest)}}
			for _, s := range expiring {
				w.Secrets = append(w.Secrets, api.Secret{Name: name(s), Expires: soon})
			}
		}
	}
	elsewhere := func(w *api.Webhook) { w.URL = url + "2" }
	for _, tt := range []struct {
		name               string
		all                []api.Webhook
		configured         []string
		endpoint           string
		failures, warnings string
	}{
		{"configured", []api.Webhook{hook("a", having(one))}, []string{one}, "", "", ""},
		{"rotating", []api.Webhook{hook("a", having(one, two))}, []string{one, two}, "", "", ""},
		{"rotating, and the new one configured", []api.Webhook{hook("a", having(one, two))}, []string{one}, "", "", ""},
		{"the new one is missing", []api.Webhook{hook("a", having(one, two))}, []string{two}, "", "webhook a secret", ""},
		{"all are missing", []api.Webhook{hook("a", having(one, two))}, nil, "", "webhook a secret", ""},
		{"stale", []api.Webhook{hook("a", having(one))}, []string{one, two}, "", "", "secret " + name(two)},
		{"missing and stale", []api.Webhook{hook("a", having(one))}, []string{two}, "", "webhook a secret", "secret " + name(two)},
		{"another program's webhook", []api.Webhook{hook("a", having(one)), hook("b", elsewhere, having(other))}, []string{one}, "", "", "webhook b secret"},
		{"another program's webhook, by the URL", []api.Webhook{hook("a", having(one)), hook("b", elsewhere, having(other))}, []string{other}, url, "webhook a secret", ""},
		{"nothing known", []api.Webhook{hook("a", having(one)), hook("b", elsewhere, having(other))}, nil, "", "webhook a secret; webhook b secret", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results := doctor.Secrets(tt.all, tt.configured, tt.endpoint)
			assert.Equal(t, tt.failures, names(results, doctor.Failure))
			assert.Equal(t, tt.warnings, names(results, doctor.Warning))
		})
	}
}

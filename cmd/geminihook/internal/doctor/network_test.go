package doctor_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClock(t *testing.T) {
	for ahead, want := range map[time.Duration]doctor.Level{
		0: doctor.OK, 20 * time.Second: doctor.OK, -20 * time.Second: doctor.OK,
		time.Minute: doctor.Warning, -time.Minute: doctor.Warning,
		5*time.Minute + time.Second: doctor.Failure, -time.Hour: doctor.Failure,
	} {
		assert.Equal(t, want, doctor.Clock(ahead).Level, ahead)
	}
	assert.Contains(t, doctor.Clock(-time.Minute).Text, "1m0s behind Google's")
}

func TestKeys(t *testing.T) {
	key := webhooktest.Public(webhooktest.Key(0))
	server := webhooktest.NewKeyServer(key, webhooktest.Public(webhooktest.Key(1)))
	defer server.Close()
	r, _, dated := doctor.Keys(t.Context(), server.URL)
	assert.Equal(t, doctor.OK, r.Level)
	assert.True(t, dated)
	assert.Contains(t, r.Text, "2 usable keys")

	// The keys have the names that a KeySet logs.
	set := &geminihook.KeySet{URL: server.URL}
	d := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Dynamic(webhooktest.Key(0)))
	proof, err := set.Verify(t.Context(), d.Header, d.Body)
	require.NoError(t, err)
	assert.Contains(t, r.Text, proof.KeyName[:12])

	for name, h := range map[string]http.HandlerFunc{
		"no keys": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[{"kty":"RSA"}]}`) },
		"no JSON": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `<html>`)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 2<<20)+"{}")
		},
		"not found": http.NotFound,
		"redirect":  http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP,
	} {
		server.SetHandler(h)
		r, _, _ := doctor.Keys(t.Context(), server.URL)
		assert.Equal(t, doctor.Failure, r.Level, name)
	}
	r, _, _ = doctor.Keys(t.Context(), "http://example.com/jwks.json")
	assert.Equal(t, doctor.Failure, r.Level)
}

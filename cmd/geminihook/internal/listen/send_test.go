package listen_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSendTest: an event that was made on the page reaches the program like a delivery,
// and the page like one that has arrived.
func TestSendTest(t *testing.T) {
	p := newProgram(t)
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request", strings.Repeat("a", 300))
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "queued")
	})
	b := start(t, listen.Config{Forward: p.URL})
	req, err := http.NewRequest(http.MethodGet, b.PageURL()+"api/example?type=batch.failed", nil)
	require.NoError(t, err)
	example, err := io.ReadAll(b.do(req).Body)
	require.NoError(t, err)
	assert.Contains(t, string(example), "\n  \"type\": \"batch.failed\"")
	edited := strings.Replace(string(example), "batch.failed", "batch.expired", 1)

	body, err := json.Marshal(map[string]string{"body": edited})
	require.NoError(t, err)
	resp := b.post("api/send", string(body))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var result struct{ Number, Status int }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&result))
	assert.Equal(t, http.StatusAccepted, result.Status)

	got := p.got()[0]
	assert.Equal(t, edited, string(got.Body))
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	_, err = verifier.Verify(t.Context(), got.Header, got.Body)
	require.NoError(t, err)

	d := b.detail(result.Number)
	assert.True(t, d.Verified)
	assert.Equal(t, "batch.expired", d.Type)
	assert.Equal(t, "test", d.History[0].Replay)
	assert.Zero(t, d.Attempts, "nothing has arrived")
	assert.Equal(t, "queued", d.History[0].Response)
	assert.Contains(t, d.History[0].Answered, [2]string{"X-Two", "1"})
	assert.Contains(t, d.History[0].Answered, [2]string{"X-Two", "2"})
	assert.Contains(t, d.History[0].Answered, [2]string{"X-Request", strings.Repeat("a", 256) + "..."})
	assert.Equal(t, "test", b.lines[0].Replay)
}

func TestSendTestRefused(t *testing.T) {
	p := newProgram(t)
	dynamic := &geminihook.Ed25519{}
	for _, tt := range []struct {
		name   string
		cfg    listen.Config
		body   string
		status int
	}{
		{"no target", listen.Config{}, `{"body":"{}"}`, http.StatusConflict},
		{"no secret", listen.Config{Forward: p.URL, Verifier: dynamic}, `{"body":"{}"}`, http.StatusConflict},
		{"no JSON", listen.Config{Forward: p.URL}, `{"body":"x"}`, http.StatusConflict},
		{"no body", listen.Config{Forward: p.URL}, `{}`, http.StatusConflict},
		{"something else", listen.Config{Forward: p.URL}, `{"url":"http://example.com/"}`, http.StatusBadRequest},
		{"too long", listen.Config{Forward: p.URL}, `{"body":"` + strings.Repeat("x", 1<<20) + `"}`, http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, tt.cfg)
			assert.Equal(t, tt.status, b.post("api/send", tt.body).StatusCode)
			assert.Empty(t, b.list(""))
		})
	}
	assert.Empty(t, p.got())
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// google is a fake of the API that creates batches, and signs webhooks.
type google struct {
	fakeapi.API
	static, dynamic webhooktest.Signer

	mu      sync.Mutex
	created []string // the names of the batches
	uris    []string // of their webhooks
}

// create responds to the request that creates a batch.
func (g *google) create(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, ":batchGenerateContent") {
		return false
	}
	var body struct {
		Batch struct {
			WebhookConfig struct{ Uris []string } `json:"webhookConfig"`
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&body) // then there are no URIs, and the test fails
	g.mu.Lock()
	defer g.mu.Unlock()
	name := fmt.Sprintf("batches/b%d", len(g.created))
	g.created = append(g.created, name)
	g.uris = append(g.uris, body.Batch.WebhookConfig.Uris...)
	running := fakeapi.Batch(name, "BATCH_STATE_RUNNING")
	g.Set(name, running)
	_ = json.NewEncoder(w).Encode(running)
	return true
}

// last returns the name of the last batch, if it is the n-th.
func (g *google) last(n int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.created) < n {
		return ""
	}
	return g.created[n-1]
}

// end ends a batch with a result.
func (g *google) end(name, text string) {
	response := map[string]any{"candidates": []any{map[string]any{
		"content": map[string]any{"parts": []any{map[string]any{"text": text}}},
	}}}
	inlined := []any{map[string]any{"response": response}}
	output := map[string]any{"inlinedResponses": map[string]any{"inlinedResponses": inlined}}
	g.Set(name, fakeapi.Batch(name, "BATCH_STATE_SUCCEEDED", "output", output))
}

// start starts the service, and returns it with what it talks to.
func start(t *testing.T) (*service, *google) {
	t.Helper()
	secret, key := webhooktest.RandomSecret(), webhooktest.Key(0)
	g := &google{static: webhooktest.Static(secret), dynamic: webhooktest.Dynamic(key)}
	g.Intercept = g.create
	api := httptest.NewServer(g)
	t.Cleanup(api.Close)
	keys := webhooktest.NewKeyServer(webhooktest.Public(key))
	t.Cleanup(keys.Close)
	secrets := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secrets, []byte(secret), 0o600))
	t.Setenv("GOOGLE_GEMINI_BASE_URL", api.URL)
	env := map[string]string{
		"DATABASE_URL":               testserver.NewPostgres(t).URL,
		"GEMINI_API_KEY":             fakeapi.Key,
		"GEMINI_WEBHOOK_SECRET_FILE": secrets,
		"PUBLIC_URL":                 "https://example.com",
		"RECORD_DIR":                 t.TempDir(),
	}
	getenv := func(name string) string { return env[name] }
	s, err := newService(t.Context(), getenv, &geminihook.KeySet{URL: keys.URL})
	require.NoError(t, err)
	t.Cleanup(s.pool.Close)
	require.NoError(t, s.queue.Start(t.Context()))
	t.Cleanup(func() { <-s.queue.Stopped() })
	return s, g
}

// request serves a request of the program's own users.
func request(s *service, method, path, body string) (status int, text string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	s.privateRoutes().ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// deliver sends a delivery to the endpoint, and returns the status.
func deliver(s *service, d *webhooktest.Delivery) int {
	w := httptest.NewRecorder()
	s.routes().ServeHTTP(w, d.Request("/gemini"))
	return w.Code
}

// addTask adds the n-th task and returns the name of its batch.
func addTask(t *testing.T, s *service, g *google, n int) string {
	t.Helper()
	body := fmt.Sprintf(`{"task":"task-%d","prompt":"Why?"}`, n)
	status, text := request(s, "POST", "/tasks", body)
	require.Equal(t, http.StatusAccepted, status, text)
	require.Eventually(t, func() bool {
		var id string
		const query = "SELECT coalesce(id, '') FROM geminihook_jobs WHERE task = $1"
		err := s.pool.QueryRow(t.Context(), query, fmt.Sprintf("task-%d", n)).Scan(&id)
		return err == nil && id != ""
	}, time.Minute, 50*time.Millisecond)
	return g.last(n)
}

// wantResult waits for the result of the n-th task.
func wantResult(t *testing.T, s *service, n int, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, text := request(s, "GET", fmt.Sprintf("/tasks/task-%d", n), "")
		return status == http.StatusOK && text == want
	}, time.Minute, 50*time.Millisecond)
}

func TestService(t *testing.T) {
	s, g := start(t)

	// A static webhook, twice.
	first := addTask(t, s, g, 1)
	assert.Equal(t, []string{"https://example.com/gemini"}, g.uris)
	g.end(first, "because")
	end := &geminihook.BatchSucceeded{ID: first}
	delivery := webhooktest.NewData(end, g.static)
	assert.Equal(t, 200, deliver(s, delivery))
	assert.Equal(t, 200, deliver(s, delivery))
	wantResult(t, s, 1, "because")

	// A dynamic one, and a forged one before it.
	second := addTask(t, s, g, 2)
	g.end(second, "therefore")
	end = &geminihook.BatchSucceeded{ID: second}
	stranger := webhooktest.Dynamic(webhooktest.Key(1))
	assert.Equal(t, 400, deliver(s, webhooktest.NewData(end, stranger)))
	assert.Equal(t, 200, deliver(s, webhooktest.NewData(end, g.dynamic)))
	wantResult(t, s, 2, "therefore")

	// No webhook: the sweep finds the end.
	third := addTask(t, s, g, 3)
	g.end(third, "so")
	s.catchUp.Grace = 1
	summary, err := s.catchUp.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, summary.Handled)
	wantResult(t, s, 3, "so")

	var queued int
	const count = "SELECT count(*) FROM river_job WHERE kind = 'fetch'"
	require.NoError(t, s.pool.QueryRow(t.Context(), count).Scan(&queued))
	assert.Equal(t, 3, queued)
	status, _ := request(s, "POST", "/tasks", `{"task":"task-1","prompt":"Why?"}`)
	assert.Equal(t, http.StatusConflict, status)
	status, text := request(s, "GET", "/metrics", "")
	assert.Equal(t, 200, status)
	assert.Contains(t, text, `gemini_webhooks_total{result="processed"} 3`)
	assert.Contains(t, text, `gemini_webhooks_total{result="duplicate"} 1`)
	assert.Contains(t, text, "gemini_jobs_stale 0")
}

// TestRecorded delivers recorded deliveries, signed again: they are about jobs of
// other programs, except for one.
func TestRecorded(t *testing.T) {
	s, g := start(t)
	recorded, err := webhooktest.Load(os.DirFS("../../testdata/deliveries"), "*.*.http")
	require.NoError(t, err)
	require.NotEmpty(t, recorded)
	const ours = "batch_123456"
	addTask(t, s, g, 1)
	_, err = s.pool.Exec(t.Context(), "UPDATE geminihook_jobs SET id = $1, segment = $1", ours)
	require.NoError(t, err)
	g.end("batches/"+ours, "because")
	for _, d := range recorded {
		d.Sign(time.Now(), g.static)
		assert.Equal(t, 200, deliver(s, d.Delivery), d.Name)
	}
	wantResult(t, s, 1, "because")
}

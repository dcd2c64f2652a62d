package jobs_test

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// waiting returns a CatchUp.Waiting.
func waiting(list ...jobs.Job) func(context.Context) iter.Seq2[jobs.Job, error] {
	return func(context.Context) iter.Seq2[jobs.Job, error] {
		return func(yield func(jobs.Job, error) bool) {
			for _, job := range list {
				if !yield(job, nil) {
					return
				}
			}
		}
	}
}

// handled collects the events that the program's function got.
type handled struct {
	mu     sync.Mutex
	events []*geminihook.Event
}

func (h *handled) handle(_ context.Context, ev *geminihook.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, ev)
	return nil
}

// newCatchUp returns a CatchUp with an endpoint that receives static webhooks, and
// what its function gets.
func newCatchUp(t testing.TB, client *genai.Client, list ...jobs.Job) (*jobs.CatchUp, *handled) {
	t.Helper()
	verifier, err := geminihook.NewHMAC(secret)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	h := &handled{}
	return &jobs.CatchUp{
		Client:   client,
		Endpoint: &geminihook.Endpoint{Verifier: verifier, Key: geminihook.ByJob, Logger: quiet},
		Waiting:  waiting(list...), Handle: h.handle, PerSecond: 1e6, Logger: quiet,
	}, h
}

// TestNotSetUp: a CatchUp that would break its promise does not start.
func TestNotSetUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*jobs.CatchUp)
		text  string
	}{
		{"no client", func(c *jobs.CatchUp) { c.Client = nil }, "not set"},
		{"Vertex AI", func(c *jobs.CatchUp) { c.Client = vertex(t) }, "not for the Gemini API"},
		{"no endpoint", func(c *jobs.CatchUp) { c.Endpoint = nil }, "not set"},
		{"no jobs", func(c *jobs.CatchUp) { c.Waiting = nil }, "not set"},
		{"no function", func(c *jobs.CatchUp) { c.Handle = nil }, "not set"},
		{"negative grace", func(c *jobs.CatchUp) { c.Grace = -1 }, "negative"},
		{"negative rate", func(c *jobs.CatchUp) { c.PerSecond = -1 }, "negative"},
		{"negative concurrency", func(c *jobs.CatchUp) { c.Concurrency = -1 }, "negative"},
		{"default key", func(c *jobs.CatchUp) { c.Endpoint.Key = nil }, "ByJob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI()
			c, _ := newCatchUp(t, serve(t, api), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
			tt.spoil(c)
			_, err := c.Sweep(t.Context())
			require.ErrorContains(t, err, tt.text)
			require.ErrorContains(t, c.Run(t.Context()), tt.text)
			assert.NotContains(t, err.Error(), fakeapi.Key)
			requests, _ := api.Requests()
			assert.Zero(t, requests)
		})
	}
}

// TestEnvironment: the SDK takes a project from the environment, and would refuse it
// from the configuration of a second client.
func TestEnvironment(t *testing.T) {
	t.Setenv("GOOGLE_CLOUD_PROJECT", "project")
	t.Setenv("GOOGLE_CLOUD_LOCATION", "location")
	c, _ := newCatchUp(t, serve(t, newAPI()), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
	summary, err := c.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, summary.Handled)
}

func vertex(t *testing.T) *genai.Client {
	client, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		Backend: genai.BackendVertexAI, APIKey: fakeapi.Key,
	})
	require.NoError(t, err)
	return client
}

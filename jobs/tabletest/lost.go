package tabletest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// testLostCompletion tests that an interaction that needed an action, and whose
// completion has no webhook, is handled by the sweep, once.
func testLostCompletion(t *testing.T, open opener) {
	const id = "v1_Abc.."
	w := open.newWorld(t)
	_, err := w.table.DB.Exec(t.Context(), "CREATE TABLE results (task VARCHAR(99))", nil)
	require.NoError(t, err)
	w.start(t, "a", jobs.KindInteraction, id)
	w.setForward(time.Hour)
	secret := webhooktest.RandomSecret()
	verifier, err := geminihook.NewHMAC(secret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Transactor: w.transactor, Key: geminihook.ByJob,
		Authorize: w.table.Authorize, Logger: quiet,
	}
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := w.querier(ctx)
		if err != nil {
			return err
		}
		task, ended, err := w.table.End(ctx, tx, ev)
		if err != nil || !ended {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO results VALUES ('"+task+"')", nil)
		return err
	}
	receive := func(typ geminihook.EventType) int {
		delivery := webhooktest.NewBody(body(t, typ, id, w.now()), webhooktest.Static(secret))
		response := httptest.NewRecorder()
		endpoint.Handler(handle).ServeHTTP(response, delivery.Request("/"))
		return response.Code
	}
	catchUp := &jobs.CatchUp{
		Client: newClient(t, fakeapi.Interaction(id, "completed", "")), Endpoint: endpoint,
		Waiting: w.table.Waiting, Handle: handle, Now: w.now, PerSecond: 1000, Logger: quiet,
	}

	assert.Equal(t, http.StatusOK, receive(geminihook.EventInteractionRequiresAction))
	assert.Equal(t, []string{id}, w.waiting(t), "it goes on after that")
	for _, want := range []int{1, 0} { // the event of the completion is lost
		summary, err := catchUp.Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, summary.Waiting)
		assert.Equal(t, want, summary.Handled)
	}
	assert.Equal(t, http.StatusOK, receive(geminihook.EventInteractionCompleted), "late")
	assert.Equal(t, []string{"a"}, w.results(t))
}

// newClient returns a client of a fake API with one interaction.
func newClient(t *testing.T, interaction map[string]any) *genai.Client {
	t.Helper()
	api := &fakeapi.API{}
	api.Set("interactions/"+interaction["id"].(string), interaction)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	client, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: fakeapi.Key,
		HTTPOptions: genai.HTTPOptions{BaseURL: server.URL},
	})
	require.NoError(t, err)
	return client
}

func (w *World) results(t *testing.T) (tasks []string) {
	t.Helper()
	err := w.table.DB.Query(t.Context(), "SELECT task FROM results", nil,
		func(scan func(...any) error) error {
			var task string
			err := scan(&task)
			tasks = append(tasks, task)
			return err
		})
	require.NoError(t, err)
	return tasks
}

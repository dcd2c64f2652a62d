package recorded_test

import (
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/recorded"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDecoded tests the function alone, with an event decoded from a body.
func TestDecoded(t *testing.T) {
	orders := &recorded.Orders{Results: map[string]string{}}
	body := `{"type":"batch.failed","data":{"id":"b","error_code":13,"error_message":"bad input"}}`
	ev, err := geminihook.ParseUnverified([]byte(body))
	require.NoError(t, err)
	require.NoError(t, orders.Handle(t.Context(), ev))
	assert.Equal(t, "failed: bad input (13)", orders.Results["b"])
}

// TestRecorded tests the endpoint with recorded deliveries. The clock is set to
// the time when they were recorded.
func TestRecorded(t *testing.T) {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	verifier.Now = func() time.Time { return time.Date(2026, 1, 22, 12, 0, 5, 0, time.UTC) }
	orders := &recorded.Orders{Results: map[string]string{}}
	dir := t.TempDir()
	handler := orders.Handler(verifier, dir)

	deliveries, err := webhooktest.Load(os.DirFS("../../testdata/deliveries"), "batch.*.http")
	require.NoError(t, err)
	for _, d := range deliveries {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/webhooks/gemini"))
		assert.Equal(t, 200, w.Code, d.Name)
	}
	assert.Contains(t, orders.Results, "batch_123456")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "nothing was rejected, and no event failed")
}

// TestPoison tests that an event that the function gives up is kept as a file.
func TestPoison(t *testing.T) {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	orders := &recorded.Orders{Results: map[string]string{}}
	dir := t.TempDir()
	body := []byte(`{"type":"batch.failed","data":{"id":"batches/42","error_message":{}}}`)
	poison := webhooktest.NewBody(body, webhooktest.Static(webhooktest.TestSecret))
	assert.Equal(t, 200, webhooktest.Post(orders.Handler(verifier, dir), poison))

	kept, err := webhooktest.Load(os.DirFS(dir), "failed-*.http")
	require.NoError(t, err)
	require.Len(t, kept, 1)
	assert.Equal(t, body, kept[0].Body)
}

// TestConcurrent: the server calls Handle for several deliveries at the same time.
func TestConcurrent(t *testing.T) {
	orders := &recorded.Orders{Results: map[string]string{}}
	var wg sync.WaitGroup
	for _, id := range []string{"batches/1", "batches/2", "batches/3", "batches/4"} {
		wg.Go(func() {
			ev := &geminihook.Event{Data: &geminihook.BatchSucceeded{ID: id}}
			assert.NoError(t, orders.Handle(t.Context(), ev))
		})
	}
	wg.Wait()
	assert.Len(t, orders.Results, 4)
}

package recorded_test

import (
	"net/http/httptest"
	"os"
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
	ev, err := geminihook.ParseUnverified([]byte(`{"type":"batch.failed","data":{"id":"b","error_code":13,"error_message":"bad input"}}`))
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
	handler := (&geminihook.Endpoint{Verifier: verifier}).Handler(orders.Handle)

	deliveries, err := webhooktest.Load(os.DirFS("../../testdata/deliveries"), "batch.*.http")
	require.NoError(t, err)
	for _, d := range deliveries {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/webhooks/gemini"))
		assert.Equal(t, 200, w.Code, d.Name)
	}
	assert.Contains(t, orders.Results, "batch_123456")
}

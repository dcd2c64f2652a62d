package geminihook_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// leastAllocs returns the fewest allocations of f in a number of runs. An
// average would not hold under the race detector, where a sync.Pool drops one in
// four of what it is given.
func leastAllocs(runs int, f func()) float64 {
	least := math.Inf(1)
	for range runs {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// newSilentHandler is a handler that succeeds and logs nothing.
func newSilentHandler(t testing.TB) http.Handler {
	t.Helper()
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	e := &geminihook.Endpoint{Verifier: verifier, Logger: slog.New(slog.DiscardHandler)}
	return e.Handler(succeed)
}

// TestAllocations bounds what a delivery allocates, with the response and the
// recorder's part.
func TestAllocations(t *testing.T) {
	handler := newSilentHandler(t)
	allocations := func(runs, status int, next func() *webhooktest.Delivery) float64 {
		server := &http.Server{ReadTimeout: time.Minute}
		ctx := context.WithValue(t.Context(), http.ServerContextKey, server)
		var requests []*http.Request
		for range 2 * runs { // AllocsPerRun warms up
			d := next()
			r := d.Request("/").WithContext(ctx)
			r.Body = io.NopCloser(bytes.NewReader(d.Body))
			requests = append(requests, r)
		}
		return leastAllocs(runs, func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, requests[0])
			requests = requests[1:]
			if w.Code != status {
				panic(w.Code)
			}
		})
	}
	genuine := func() *webhooktest.Delivery { return newBatch() }
	first := newBatch()
	duplicate := func() *webhooktest.Delivery { return first }
	forged := func() *webhooktest.Delivery { return newBatch().WrongSecret() }
	assert.LessOrEqual(t, allocations(200, 200, genuine), 30.0, "genuine")
	assert.LessOrEqual(t, allocations(200, 200, duplicate), 20.0, "duplicate")
	assert.LessOrEqual(t, allocations(200, 400, forged), 18.0, "forged")

	body := webhooktest.Body(geminihook.EventBatchSucceeded)
	parse := func() { _, _ = geminihook.ParseUnverified(body) }
	assert.LessOrEqual(t, testing.AllocsPerRun(200, parse), 6.0, "parse")
}

// BenchmarkEndpoint is the whole way of a delivery, in process.
func BenchmarkEndpoint(b *testing.B) {
	h := newSilentHandler(b)
	d := webhooktest.New(geminihook.EventBatchSucceeded)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		d.SetID(strconv.Itoa(i))
		r := d.Sign(time.Now(), signer).Request("/")
		w := httptest.NewRecorder()
		b.StartTimer()
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}

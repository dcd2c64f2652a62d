package geminihook_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeySetRefresh(t *testing.T) {
	ks := newTestKeySet(t, 1, 2, 3)
	assert.Zero(t, ks.keys.Status())
	require.NoError(t, ks.keys.Refresh(t.Context()))
	assert.Equal(t, geminihook.KeySetStatus{Keys: 3, FetchedAt: at}, ks.keys.Status())
	require.NoError(t, ks.keys.Refresh(t.Context()))
	ks.requireAccepts(t, 1)
	ks.clock.advance(30 * time.Minute)
	require.NoError(t, ks.keys.Refresh(t.Context()))
	assert.EqualValues(t, 1, ks.source.fetches.Load(), "the keys are fresh")

	ks.clock.advance(time.Hour)
	ks.source.serveKeys(4)
	require.NoError(t, ks.keys.Refresh(t.Context()))
	assert.Equal(t, geminihook.KeySetStatus{Keys: 1, FetchedAt: ks.clock.Now()}, ks.keys.Status())
}

func TestNilKeySet(t *testing.T) {
	var keys *geminihook.KeySet
	assert.Zero(t, keys.Status())
	require.ErrorIs(t, keys.Refresh(t.Context()), geminihook.ErrUnavailable)
}

// TestKeySetRefreshFails checks that old keys suffice, that none do not, and
// that failures count without more fetches than there may be.
func TestKeySetRefreshFails(t *testing.T) {
	ks := newTestKeySet(t, 1)
	ks.source.fail()
	require.ErrorIs(t, ks.keys.Refresh(t.Context()), geminihook.ErrUnavailable)
	require.ErrorContains(t, ks.keys.Refresh(t.Context()), "connection refused")
	assert.EqualValues(t, 1, ks.source.fetches.Load(), "too early for another fetch")
	status := ks.keys.Status()
	assert.Equal(t, 1, status.Failures)
	require.ErrorContains(t, status.LastError, "connection refused")
	assert.Zero(t, status.FetchedAt)

	ks.clock.advance(time.Second)
	ks.source.serveKeys(1)
	require.NoError(t, ks.keys.Refresh(t.Context()))
	assert.Equal(t, geminihook.KeySetStatus{Keys: 1, FetchedAt: ks.clock.Now()}, ks.keys.Status())

	fetched := ks.clock.Now()
	ks.source.fail()
	for n := range 3 {
		ks.clock.advance(time.Hour)
		require.NoError(t, ks.keys.Refresh(t.Context()), "the old keys still serve")
		assert.Equal(t, n+1, ks.keys.Status().Failures)
	}
	ks.clock.advance(24 * time.Hour)
	require.ErrorIs(t, ks.keys.Refresh(t.Context()), geminihook.ErrUnavailable)
	status = ks.keys.Status()
	assert.Zero(t, status.Keys)
	assert.Equal(t, fetched, status.FetchedAt)
}

// TestKeySetRefreshShared checks that concurrent calls share a fetch, and that a
// canceled one does not end it.
func TestKeySetRefreshShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := newTestKeySet(t, 1)
		gate := make(chan struct{})
		ks.source.set(func(*http.Request) (*http.Response, error) {
			<-gate
			return httpResponse(200, jwks(1)), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			err := ks.keys.Refresh(ctx)
			assert.ErrorIs(t, err, geminihook.ErrUnavailable)
			assert.ErrorIs(t, err, context.Canceled)
		})
		for range 3 {
			wg.Go(func() { assert.NoError(t, ks.keys.Refresh(t.Context())) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		assert.Zero(t, ks.keys.Status().Keys)
		close(gate)
		wg.Wait()
		assert.EqualValues(t, 1, ks.source.fetches.Load())
		assert.Equal(t, 1, ks.keys.Status().Keys)
	})
}

// TestKeySetRefreshCanceled: if the context ends, old keys suffice.
func TestKeySetRefreshCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := newTestKeySet(t, 1)
		require.NoError(t, ks.keys.Refresh(t.Context()))
		ks.clock.advance(time.Hour)
		gate := make(chan struct{})
		ks.source.set(func(*http.Request) (*http.Response, error) {
			<-gate
			return httpResponse(200, jwks(1)), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, ks.keys.Refresh(ctx))
		ks.clock.advance(24 * time.Hour)
		require.ErrorIs(t, ks.keys.Refresh(ctx), context.Canceled)
		close(gate)
	})
}

// Report that the program is ready when it can verify dynamic webhooks, and let
// metrics show how old the keys are.
func ExampleKeySet_Refresh() {
	keys := newKeySet(1, 2, 3) // a program has &geminihook.KeySet{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		if err := keys.Refresh(r.Context()); err != nil {
			log.Print(err)
			http.Error(w, "no keys", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		status := keys.Status()
		fmt.Fprintf(w, "gemini_keys %d\n", status.Keys)
		fmt.Fprintf(w, "gemini_keys_age_seconds %.0f\n", time.Since(status.FetchedAt).Seconds())
		fmt.Fprintf(w, "gemini_keys_fetch_failures %d\n", status.Failures)
	})

	for _, path := range []string{"/ready", "/metrics"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code, strings.Contains(w.Body.String(), "gemini_keys 3"))
	}
	// Output:
	// /ready 200 false
	// /metrics 200 true
}

package geminihook_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

// keySource answers a KeySet's fetches in place of the network.
type keySource struct {
	mu      sync.Mutex
	answer  func(*http.Request) (*http.Response, error)
	fetches atomic.Int64
}

func (s *keySource) RoundTrip(r *http.Request) (*http.Response, error) {
	s.fetches.Add(1)
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	return answer(r)
}

func (s *keySource) set(answer func(*http.Request) (*http.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *keySource) serve(body string, header ...string) {
	s.set(func(*http.Request) (*http.Response, error) { return response(200, body, header...), nil })
}

func (s *keySource) serveKeys(n ...int) { s.serve(jwks(n...)) }

func (s *keySource) fail() {
	s.set(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
}

func response(status int, body string, header ...string) *http.Response {
	r := &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// jwks is a key set as Google serves it, of webhooktest's keys.
func jwks(n ...int) string {
	keys := make([]ed25519.PublicKey, len(n))
	for i, n := range n {
		keys[i] = webhooktest.Public(webhooktest.Key(n))
	}
	return string(webhooktest.JWKS(keys...))
}

// keyTest is a KeySet with a clock and a source that the test holds.
type keyTest struct {
	*testing.T
	*geminihook.KeySet
	clock  *clock
	source *keySource
	logs   *strings.Builder
}

func newKeyTest(t *testing.T, n ...int) *keyTest {
	kt := &keyTest{T: t, clock: &clock{now: at}, source: &keySource{}, logs: &strings.Builder{}}
	var mu sync.Mutex
	kt.KeySet = &geminihook.KeySet{
		Now: kt.clock.Now, Client: &http.Client{Transport: kt.source},
		Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: kt.logs, mu: &mu}, nil)),
	}
	kt.source.serveKeys(n...)
	return kt
}

// verify verifies a delivery signed now with a key.
func (kt *keyTest) verify(key int) (geminihook.Proof, error) {
	d := webhooktest.New(geminihook.EventVideoGenerated).Sign(kt.clock.Now(), webhooktest.Dynamic(webhooktest.Key(key)))
	return kt.Verify(context.Background(), d.Header, d.Body)
}

func (kt *keyTest) accepts(key int) {
	kt.Helper()
	_, err := kt.verify(key)
	require.NoError(kt, err)
}

func (kt *keyTest) refuses(key int, want error) {
	kt.Helper()
	_, err := kt.verify(key)
	require.ErrorIs(kt, err, want)
}

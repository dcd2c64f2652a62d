package geminihook_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

// keySource responds to a KeySet's fetches in place of the network.
type keySource struct {
	mu      sync.Mutex
	respond func(*http.Request) (*http.Response, error)
	fetches atomic.Int64
}

func (s *keySource) RoundTrip(r *http.Request) (*http.Response, error) {
	s.fetches.Add(1)
	s.mu.Lock()
	respond := s.respond
	s.mu.Unlock()
	return respond(r)
}

func (s *keySource) set(respond func(*http.Request) (*http.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.respond = respond
}

func (s *keySource) serve(body string, header ...string) {
	s.set(func(*http.Request) (*http.Response, error) { return httpResponse(200, body, header...), nil })
}

func (s *keySource) serveKeys(n ...int) { s.serve(jwks(n...)) }

func (s *keySource) fail() {
	s.set(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
}

func httpResponse(status int, body string, header ...string) *http.Response {
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

// keySetTest is a KeySet with a clock and a source that the test holds.
type keySetTest struct {
	*testing.T
	*geminihook.KeySet
	clock  *testClock
	source *keySource
	logs   *strings.Builder
}

func newKeySetTest(t *testing.T, n ...int) *keySetTest {
	kt := &keySetTest{T: t, clock: &testClock{now: at}, source: &keySource{}, logs: &strings.Builder{}}
	var mu sync.Mutex
	kt.KeySet = &geminihook.KeySet{
		Now: kt.clock.Now, Client: &http.Client{Transport: kt.source},
		Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: kt.logs, mu: &mu}, nil)),
	}
	kt.source.serveKeys(n...)
	return kt
}

// verify verifies a delivery signed now with a key.
func (kt *keySetTest) verify(key int) (geminihook.Proof, error) {
	d := webhooktest.New(geminihook.EventVideoGenerated).Sign(kt.clock.Now(), webhooktest.Dynamic(webhooktest.Key(key)))
	return kt.Verify(context.Background(), d.Header, d.Body)
}

func (kt *keySetTest) accepts(key int) {
	kt.Helper()
	_, err := kt.verify(key)
	require.NoError(kt, err)
}

func (kt *keySetTest) refuses(key int, want error) {
	kt.Helper()
	_, err := kt.verify(key)
	require.ErrorIs(kt, err, want)
}

// vector is a delivery signed by another implementation.
type vector struct {
	Name      string
	Now       int64
	ID        string
	Timestamp string
	Body      string
	Signature string
	Secrets   []string
	JWKS      []struct{ X string }
	Valid     bool
	Key       int
	Error     string
}

func (v *vector) header() http.Header {
	h := http.Header{}
	for name, value := range map[string]string{"webhook-id": v.ID, "webhook-timestamp": v.Timestamp, "webhook-signature": v.Signature} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors/standard-webhooks.json")
	require.NoError(t, err)
	var file struct{ Cases []vector }
	require.NoError(t, json.Unmarshal(b, &file))
	require.NotEmpty(t, file.Cases)
	return file.Cases
}

// newKeySet fetches the given of webhooktest's keys, without a network.
func newKeySet(n ...int) *geminihook.KeySet {
	source := &keySource{}
	source.serveKeys(n...)
	return &geminihook.KeySet{Client: &http.Client{Transport: source}, Logger: slog.New(slog.DiscardHandler)}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

package geminihook_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	s.set(func(*http.Request) (*http.Response, error) {
		return httpResponse(200, body, header...), nil
	})
}

func (s *keySource) serveKeys(n ...int) { s.serve(jwks(n...)) }

func (s *keySource) fail() {
	s.set(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("connection refused")
	})
}

func httpResponse(status int, body string, header ...string) *http.Response {
	r := &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// publicKeys returns webhooktest's keys with the given numbers.
func publicKeys(n ...int) []ed25519.PublicKey {
	keys := make([]ed25519.PublicKey, len(n))
	for i, n := range n {
		keys[i] = webhooktest.Public(webhooktest.Key(n))
	}
	return keys
}

// jwks is a key set as Google serves it, of webhooktest's keys with the given numbers.
func jwks(n ...int) string { return string(webhooktest.JWKS(publicKeys(n...)...)) }

// newDynamic is a dynamic delivery that was signed at a time with one of
// webhooktest's keys.
func newDynamic(key int, at time.Time) *webhooktest.Delivery {
	return webhooktest.New(geminihook.EventVideoGenerated).
		Sign(at, webhooktest.Dynamic(webhooktest.Key(key)))
}

// testKeySet is a KeySet whose clock and key server the test sets.
type testKeySet struct {
	keys   *geminihook.KeySet
	clock  *testClock
	source *keySource
	logs   *logBuffer
}

func newTestKeySet(t testing.TB, n ...int) *testKeySet {
	t.Helper()
	ks := &testKeySet{clock: &testClock{now: at}, source: &keySource{}, logs: &logBuffer{}}
	ks.keys = &geminihook.KeySet{
		Now: ks.clock.Now, Client: &http.Client{Transport: ks.source},
		Logger: slog.New(slog.NewTextHandler(ks.logs, nil)),
	}
	ks.source.serveKeys(n...)
	return ks
}

// verify verifies a delivery signed now with a key.
func (ks *testKeySet) verify(key int) (geminihook.Proof, error) {
	d := newDynamic(key, ks.clock.Now())
	return ks.keys.Verify(context.Background(), d.Header, d.Body)
}

func (ks *testKeySet) requireAccepts(t testing.TB, key int) {
	t.Helper()
	_, err := ks.verify(key)
	require.NoError(t, err)
}

func (ks *testKeySet) requireRefuses(t testing.TB, key int, want error) {
	t.Helper()
	_, err := ks.verify(key)
	require.ErrorIs(t, err, want)
}

// logBuffer holds what was logged.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
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
	// PublicKeys are "whpk_" keys.
	PublicKeys []string
	Valid      bool
	Key        int
	Error      string
}

func (v *vector) header() http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"webhook-id": v.ID, "webhook-timestamp": v.Timestamp, "webhook-signature": v.Signature,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

// publicKeys returns the keys of the vector's key set.
func (v *vector) publicKeys(t testing.TB) []ed25519.PublicKey {
	t.Helper()
	keys := make([]ed25519.PublicKey, len(v.JWKS))
	for i, jwk := range v.JWKS {
		x, err := base64.RawURLEncoding.DecodeString(jwk.X)
		require.NoError(t, err)
		keys[i] = x
	}
	return keys
}

// kind is the kind of the error of a vector that is not valid.
func (v *vector) kind() error {
	switch {
	case v.Error == "header":
		return geminihook.ErrHeader
	case v.Error == "timestamp":
		return geminihook.ErrTimestamp
	case len(v.Secrets) == 0 && len(v.JWKS) == 0:
		return geminihook.ErrUnavailable // there is no verifier that could refuse it
	}
	return geminihook.ErrSignature
}

// vectors returns those that the reference implementations made.
func vectors(t testing.TB) []vector {
	t.Helper()
	return vectorsIn(t, "standard-webhooks.json")
}

func vectorsIn(t testing.TB, name string) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors/" + name)
	require.NoError(t, err)
	var file struct{ Cases []vector }
	require.NoError(t, json.Unmarshal(b, &file))
	require.NotEmpty(t, file.Cases)
	return file.Cases
}

// newKeySet fetches webhooktest's keys with the given numbers, without a network.
func newKeySet(n ...int) *geminihook.KeySet {
	source := &keySource{}
	source.serveKeys(n...)
	return &geminihook.KeySet{
		Client: &http.Client{Transport: source}, Logger: slog.New(slog.DiscardHandler),
	}
}

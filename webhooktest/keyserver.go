package webhooktest

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
)

// KeyServer serves a key set as Google does for dynamic webhooks, on a loopback
// port: give its URL to geminihook.KeySet.
type KeyServer struct {
	URL string

	server  *httptest.Server
	mu      sync.Mutex
	handler http.Handler
	fetches int
}

// NewKeyServer starts a KeyServer with the keys. Close it when done.
func NewKeyServer(keys ...ed25519.PublicKey) *KeyServer {
	s := &KeyServer{}
	s.SetKeys(keys...)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.fetches++
		h := s.handler
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	s.URL = s.server.URL + "/.well-known/jwks.json"
	return s
}

// SetKeys serves other keys from now on: a rotation.
func (s *KeyServer) SetKeys(keys ...ed25519.PublicKey) {
	set := JWKS(keys...)
	s.SetHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set) // the client may be gone
	}))
}

// SetHandler answers with a handler from now on: an outage, garbage, a
// redirect. SetKeys makes it well again.
func (s *KeyServer) SetHandler(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// Fetches counts the requests so far.
func (s *KeyServer) Fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// Close shuts the server down.
func (s *KeyServer) Close() { s.server.Close() }

// JWKS returns a JWK Set of the keys in the form of Google's: without "kid".
func JWKS(keys ...ed25519.PublicKey) []byte {
	type jwk struct {
		Crv string `json:"crv"`
		Kty string `json:"kty"`
		X   string `json:"x"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: make([]jwk, len(keys))}
	for i, key := range keys {
		set.Keys[i] = jwk{"Ed25519", "OKP", base64.RawURLEncoding.EncodeToString(key)}
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic("webhooktest: JWKS: " + err.Error())
	}
	return b
}

package webhooktest

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
)

// KeyServer stands in for the server from which Google publishes the keys of
// dynamic webhooks. It listens on a loopback port.
type KeyServer struct {
	// URL is the address of the key set, for the URL field of a
	// [geminihook.KeySet].
	URL string

	server  *httptest.Server
	mu      sync.Mutex
	handler http.Handler
	fetches int
}

// NewKeyServer starts a [KeyServer] that serves the given keys. Call
// [KeyServer.Close] when finished with it.
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

// SetKeys replaces the keys, as a rotation does.
func (s *KeyServer) SetKeys(keys ...ed25519.PublicKey) {
	set := JWKS(keys...)
	s.SetHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set) // the client may be gone
	}))
}

// SetHandler makes h respond to all further requests, to simulate an outage, an
// invalid key set, or a redirect. [KeyServer.SetKeys] restores the key set.
func (s *KeyServer) SetHandler(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// Fetches returns the number of requests so far.
func (s *KeyServer) Fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// Close shuts down the server.
func (s *KeyServer) Close() { s.server.Close() }

// JWKS returns a JWK Set (RFC 7517) of the keys in the form that Google
// publishes, which has no "kid".
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

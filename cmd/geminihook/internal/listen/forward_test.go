package listen_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

// TestForwardEarlyResponse: a response counts even if the program sends it without
// reading the request and closes the connection, which makes the rest of the request
// fail.
func TestForwardEarlyResponse(t *testing.T) {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")
			assert.NoError(t, conn.Close())
		}
	}))
	defer p.Close()
	b := start(t, listen.Config{Forward: p.URL})
	for range 20 {
		large := webhooktest.New("x", signer).Oversized(maxBody - 1)
		assert.Equal(t, http.StatusTeapot, b.deliver(large).StatusCode)
	}
}

// TestForwardIdleConnection: a delivery reaches a program that closes a connection
// when it would be used again, as one does that closes idle connections.
func TestForwardIdleConnection(t *testing.T) {
	var used sync.Map
	p := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, again := used.LoadOrStore(r.RemoteAddr, true); again {
			panic(http.ErrAbortHandler)
		}
	}))
	defer p.Close()
	b := start(t, listen.Config{Forward: p.URL})
	for range 3 {
		assert.Equal(t, http.StatusOK, b.deliver(webhooktest.New("x", signer)).StatusCode)
	}
}

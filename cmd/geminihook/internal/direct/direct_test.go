package direct_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/direct"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEarlyResponse: a response counts even if the server has closed the connection
// while the client is still sending, which makes the client's writes fail.
func TestEarlyResponse(t *testing.T) {
	server := httptest.NewServer(hijacker(t, "HTTP/1.1 413 Content Too Large\r\n\r\nno"))
	defer server.Close()
	for range 20 {
		resp, err := post(server.URL, 4<<20)
		require.NoError(t, err)
		assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		text, _ := io.ReadAll(resp.Body) // it may end with a reset
		assert.Equal(t, "no", string(text))
		assert.NoError(t, resp.Body.Close())
	}
}

// TestNoResponse: without a response, there is an error.
func TestNoResponse(t *testing.T) {
	server := httptest.NewServer(hijacker(t, ""))
	defer server.Close()
	for _, size := range []int{1, 4 << 20} {
		_, err := post(server.URL, size)
		assert.Error(t, err)
	}
	const closed = "http://127.0.0.1:1" // no system gives its port to a program
	_, err := post(closed, 1)
	var opErr *net.OpError
	require.ErrorAs(t, err, &opErr)
	assert.Equal(t, "dial", opErr.Op)
}

// TestFreshConnection: no request is written to a connection that the server may be
// closing, because it was idle.
func TestFreshConnection(t *testing.T) {
	connections := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr]++
		assert.NotContains(t, r.Header, "Connection")
	}))
	defer server.Close()
	for range 3 {
		resp, err := post(server.URL, 1)
		require.NoError(t, err)
		assert.NoError(t, resp.Body.Close())
	}
	assert.Len(t, connections, 3)
}

// TestRedirect: a redirect is the response.
func TestRedirect(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("/other", http.StatusPermanentRedirect))
	defer server.Close()
	resp, err := post(server.URL, 1)
	require.NoError(t, err)
	assert.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusPermanentRedirect, resp.StatusCode)
}

var client = direct.NewClient(&http.Transport{})

// post sends a body of the size.
func post(to string, size int) (*http.Response, error) {
	return client.Post(to, "application/json", strings.NewReader(strings.Repeat(" ", size)))
}

// hijacker writes the response without reading the body, and closes the connection.
func hijacker(t *testing.T, response string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		_, err = io.WriteString(c, response)
		assert.NoError(t, err)
		assert.NoError(t, c.Close())
	}
}

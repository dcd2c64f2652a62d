package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	for _, path := range []string{"/gemini", "/gemini/context"} {
		t.Run(path, func(t *testing.T) {
			receiver := deliveries.New(t)
			server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
			defer server.Close()
			receiver.Check(t, server.URL+path)
		})
	}
}

// wrapMiddleware is the adapter that comes to mind, and is wrong: see
// [TestWrongMiddleware].
func wrapMiddleware(m func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) { // wrong
		m(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
	}
}

// TestWrongMiddleware shows that the warning in docs/deployment.md is true: gin
// goes on to the next handler after a middleware that has refused the delivery, and
// the handler's status does not pass through the middleware.
func TestWrongMiddleware(t *testing.T) {
	receiver, calls := deliveries.New(t), 0
	r := gin.New()
	r.POST("/gemini", wrapMiddleware(receiver.Endpoint.Middleware), func(c *gin.Context) {
		calls++
		c.Status(http.StatusInternalServerError)
	})
	server := httptest.NewServer(r)
	genuine := receiver.Static(deliveries.Fails)
	assert.Equal(t, http.StatusBadRequest, deliveries.Post(t, server.URL+"/gemini", genuine.WrongSecret()))
	assert.Equal(t, 1, calls, "a forged delivery reaches the handler")
	assert.Equal(t, http.StatusOK, deliveries.Post(t, server.URL+"/gemini", genuine))
	assert.Equal(t, 2, calls, "a failed event is acknowledged")
	assert.Equal(t, http.StatusOK, deliveries.Post(t, server.URL+"/gemini", genuine))
	assert.Equal(t, 3, calls, "a duplicate reaches the handler")
	server.Close() // waits for Observe
	assert.ElementsMatch(t, []geminihook.Result{geminihook.Rejected, geminihook.Processed, geminihook.Duplicate}, receiver.Results(genuine))
}

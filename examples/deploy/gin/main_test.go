package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	server := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
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
	receiver := deliveries.New(t)
	var calls sync.Map
	r := gin.New()
	r.POST("/gemini", wrapMiddleware(receiver.Endpoint.Middleware), func(c *gin.Context) {
		_, verified := geminihook.FromContext(c.Request.Context())
		calls.Store(fmt.Sprint(c.GetHeader("webhook-id"), " verified: ", verified), true)
		c.Status(http.StatusInternalServerError)
	})
	server := httptest.NewServer(r)
	forged := receiver.Static(deliveries.Fails).WrongSecret()
	genuine := receiver.Static(deliveries.Fails)
	assert.Equal(t, http.StatusBadRequest, deliveries.Post(t, server.URL+"/gemini", forged))
	assert.Equal(t, http.StatusOK, deliveries.Post(t, server.URL+"/gemini", genuine), "a failed event is acknowledged")
	assert.Equal(t, http.StatusOK,
		deliveries.Post(t, server.URL+"/gemini", receiver.Retry(genuine)))
	server.Close() // waits for the handlers and for Observe
	for _, call := range []string{
		forged.ID() + " verified: false",
		genuine.ID() + " verified: true",
		genuine.ID() + " verified: false", // the duplicate
	} {
		_, called := calls.Load(call)
		assert.True(t, called, call)
	}
	assert.ElementsMatch(t, []geminihook.Result{geminihook.Processed, geminihook.Duplicate},
		receiver.Results(genuine))
}

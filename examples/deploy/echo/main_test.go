package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	echov4 "github.com/labstack/echo/v4"
	"github.com/labstack/echo/v5"
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

// TestV4 checks that the lines are right for version 4, too.
func TestV4(t *testing.T) {
	receiver := deliveries.New(t)
	e := echov4.New()
	e.POST("/gemini", echov4.WrapHandler(receiver.Endpoint.Handler(receiver.Handle)))
	server := httptest.NewServer(e)
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// TestWrongMiddleware shows that the warning in docs/deployment.md is true: echo
// turns an error into a response after the middleware has ended, so the middleware
// sees an empty response, which is a 200, and the event is lost.
func TestWrongMiddleware(t *testing.T) {
	fails := errors.New("the handler fails")
	for name, routes := range map[string]func(*geminihook.Endpoint) http.Handler{
		"v5": func(endpoint *geminihook.Endpoint) http.Handler {
			e := echo.New()
			e.POST("/gemini", func(*echo.Context) error { return fails },
				echo.WrapMiddleware(endpoint.Middleware))
			return e
		},
		"v4": func(endpoint *geminihook.Endpoint) http.Handler {
			e := echov4.New()
			e.POST("/gemini", func(echov4.Context) error { return fails },
				echov4.WrapMiddleware(endpoint.Middleware))
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			receiver := deliveries.New(t)
			server := httptest.NewServer(routes(receiver.Endpoint))
			genuine := receiver.Static(deliveries.Fails)
			assert.Equal(t, http.StatusOK, deliveries.Post(t, server.URL+"/gemini", genuine))
			assert.Equal(t, http.StatusOK,
				deliveries.Post(t, server.URL+"/gemini", receiver.Retry(genuine)))
			server.Close() // waits for Observe
			assert.ElementsMatch(t, []geminihook.Result{geminihook.Processed, geminihook.Duplicate},
				receiver.Results(genuine))
		})
	}
}

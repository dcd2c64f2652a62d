package main

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
	"github.com/stretchr/testify/assert"
)

func TestWithContext(t *testing.T) {
	receiver := deliveries.New(t)
	e := echo.New()
	e.Use(middleware.Recover())
	handle := func(c *echo.Context, ctx context.Context, ev *geminihook.Event) error {
		assert.Equal(t, "gemini", c.Param("name"))
		return receiver.Handle(ctx, ev)
	}
	e.POST("/:name", withContext(receiver.Endpoint, handle))
	server := httptest.NewServer(e)
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

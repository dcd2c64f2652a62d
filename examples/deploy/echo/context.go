package main

import (
	"context"

	"github.com/geminihook/geminihook"
	"github.com/labstack/echo/v5"
)

// withContext is for a function that needs echo's context, for example for what
// other middleware has put there. The function must leave the response to the
// endpoint.
func withContext(
	endpoint *geminihook.Endpoint, fn func(*echo.Context, context.Context, *geminihook.Event) error,
) echo.HandlerFunc {
	return func(c *echo.Context) error {
		endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
			return fn(c, ctx, ev)
		}).ServeHTTP(c.Response(), c.Request())
		return nil
	}
}

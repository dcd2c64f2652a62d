package main

import (
	"context"

	"github.com/geminihook/geminihook"
	"github.com/gin-gonic/gin"
)

// withContext is for a function that needs gin's context, for example for what
// other middleware has put there. The function must leave the response to the
// endpoint.
func withContext(
	endpoint *geminihook.Endpoint, fn func(*gin.Context, context.Context, *geminihook.Event) error,
) gin.HandlerFunc {
	return func(c *gin.Context) {
		endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
			return fn(c, ctx, ev)
		}).ServeHTTP(c.Writer, c.Request)
	}
}

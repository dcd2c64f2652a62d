package main

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
)

func TestWithContext(t *testing.T) {
	receiver := deliveries.New(t)
	r := gin.New()
	r.Use(gin.Recovery())
	handle := func(c *gin.Context, ctx context.Context, ev *geminihook.Event) error {
		assert.Equal(t, "gemini", c.Param("name"))
		return receiver.Handle(ctx, ev)
	}
	r.POST("/:name", withContext(receiver.Endpoint, handle))
	server := httptest.NewServer(r)
	defer server.Close()
	receiver.Check(t, server.URL+"/gemini")
}

// Gin receives Gemini webhooks in the framework gin.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./gin
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/gin-gonic/gin"
)

func main() {
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal("GEMINI_WEBHOOK_SECRET: ", err)
	}
	handler := routes(&geminihook.Endpoint{Verifier: verifier}, handle)
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func routes(endpoint *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error) http.Handler {
	r := gin.New()
	r.Use(gin.Logger(), gin.Recovery())
	r.POST("/gemini", gin.WrapH(endpoint.Handler(fn)))
	r.POST("/gemini/context", withContext(endpoint, func(_ *gin.Context, ctx context.Context, ev *geminihook.Event) error {
		return fn(ctx, ev)
	}))
	return r
}

// withContext is for a function that needs gin's context, for example for what
// other middleware has put there. The function must leave the response to the
// endpoint.
func withContext(endpoint *geminihook.Endpoint, fn func(*gin.Context, context.Context, *geminihook.Event) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
			return fn(c, ctx, ev)
		}).ServeHTTP(c.Writer, c.Request)
	}
}

// handle is the place for the program's own work.
func handle(_ context.Context, ev *geminihook.Event) error {
	log.Printf("%s: %s", ev.Type, ev.JobID())
	return nil
}

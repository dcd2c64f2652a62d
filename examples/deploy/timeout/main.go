// Timeout receives Gemini webhooks inside http.TimeoutHandler.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./timeout
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
)

func main() {
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal("GEMINI_WEBHOOK_SECRET: ", err)
	}
	server := &http.Server{
		Addr:        "127.0.0.1:8080",
		Handler:     routes(&geminihook.Endpoint{Verifier: verifier}, handle, 30*time.Second),
		ReadTimeout: 10 * time.Second, // the endpoint's has no effect inside http.TimeoutHandler
	}
	log.Fatal(server.ListenAndServe())
}

func routes(endpoint *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error,
	limit time.Duration,
) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /gemini", endpoint.Handler(fn))
	return http.TimeoutHandler(mux, limit, "timeout")
}

// handle is the place for the program's own work.
func handle(_ context.Context, ev *geminihook.Event) error {
	log.Printf("%s: %s", ev.Type, ev.JobID())
	return nil
}

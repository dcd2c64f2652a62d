// Bodyread receives Gemini webhooks in a program with a middleware that reads the
// bodies of requests, to log them.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./bodyread
package main

import (
	"context"
	"io"
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
	handler := routes(&geminihook.Endpoint{Verifier: verifier}, handle)
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// routes registers the endpoint outside of the middleware that reads bodies.
func routes(
	endpoint *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error,
) http.Handler {
	api := http.NewServeMux()
	api.HandleFunc("POST /orders", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})

	mux := http.NewServeMux()
	mux.Handle("POST /gemini", endpoint.Handler(fn))
	mux.Handle("/", logBodies(api))
	return mux
}

// logBodies leaves no body to the next handler.
func logBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		log.Printf("%s %s: %d bytes, %v", r.Method, r.URL.Path, len(body), err)
		next.ServeHTTP(w, r)
	})
}

// handle is the place for the program's own work.
func handle(_ context.Context, ev *geminihook.Event) error {
	log.Printf("%s: %s", ev.Type, ev.JobID())
	return nil
}

// Compress receives Gemini webhooks behind a middleware that compresses responses.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./compress
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/klauspost/compress/gzhttp"
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

func routes(
	endpoint *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error,
) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /gemini", endpoint.Handler(fn))
	return gzhttp.GzipHandler(mux)
}

// handle is the place for the program's own work.
func handle(_ context.Context, ev *geminihook.Event) error {
	log.Printf("%s: %s", ev.Type, ev.JobID())
	return nil
}

// Proxy receives Gemini webhooks behind a reverse proxy, which serves them to the
// world and passes them on to a backend.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./proxy
package main

import (
	"context"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/geminihook/geminihook"
)

func main() {
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal("GEMINI_WEBHOOK_SECRET: ", err)
	}
	backend := &http.Server{
		Addr:        "127.0.0.1:8081",
		Handler:     routes(&geminihook.Endpoint{Verifier: verifier}, handle),
		ReadTimeout: 10 * time.Second,
	}
	go func() { log.Fatal(backend.ListenAndServe()) }()
	public := &http.Server{
		Addr:        "127.0.0.1:8080",
		Handler:     proxy(&url.URL{Scheme: "http", Host: backend.Addr}),
		ReadTimeout: 10 * time.Second,
	}
	log.Fatal(public.ListenAndServe())
}

// proxy passes on the headers and the body as they are.
func proxy(backend *url.URL) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(backend)
		r.SetXForwarded()
	}}
}

func routes(
	endpoint *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error,
) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /gemini", endpoint.Handler(fn))
	return mux
}

// handle is the place for the program's own work.
func handle(_ context.Context, ev *geminihook.Event) error {
	log.Printf("%s: %s", ev.Type, ev.JobID())
	return nil
}

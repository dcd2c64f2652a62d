// H2c receives Gemini webhooks over HTTP/2 without TLS, which Cloud Run and other
// load balancers speak to a backend if they are told to.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./h2c
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
		Handler:     routes(&geminihook.Endpoint{Verifier: verifier}, handle),
		ReadTimeout: 10 * time.Second,
		Protocols:   protocols(),
	}
	log.Fatal(server.ListenAndServe())
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
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

// Middleware wraps an existing handler with geminihook. The handler reads the
// body as before, but receives only genuine deliveries, and each event once.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./examples/middleware
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/geminihook/geminihook"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", "127.0.0.1:8083")
	if err == nil {
		err = run(ctx, listener, os.Getenv("GEMINI_WEBHOOK_SECRET"))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run serves until the context ends, and then waits for the deliveries that are
// under way.
func run(ctx context.Context, listener net.Listener, secret string) error {
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return errors.Join(fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err), listener.Close())
	}
	const slowest = 90 * time.Second // a run may take RunTimeout, which is a minute
	server := &http.Server{
		Handler:           routes(verifier),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      slowest,
		IdleTimeout:       2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Printf("listening on http://%s/webhooks/gemini", listener.Addr())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), slowest)
	defer cancel()
	return server.Shutdown(grace)
}

func routes(verifier geminihook.Verifier) http.Handler {
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/gemini", endpoint.Middleware(http.HandlerFunc(existing)))
	return mux
}

// existing is the handler that the program had before. A 2xx status means that
// the event is done; after any other status, Google delivers it again.
func existing(w http.ResponseWriter, r *http.Request) {
	var body struct{ Type string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, "bad body", http.StatusBadRequest)
		return
	}
	if ev, ok := geminihook.FromContext(r.Context()); ok { // the event that the middleware decoded
		log.Printf("%q: %q, attempt %d", ev.ID, body.Type, ev.Attempt)
	}
	w.WriteHeader(http.StatusNoContent)
}

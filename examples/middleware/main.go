// Middleware puts geminihook in front of a handler that exists: it reads the
// body as before, but gets genuine deliveries only, each event once.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./examples/middleware
package main

import (
	"encoding/json"
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
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: routes(verifier), ReadTimeout: 10 * time.Second}
	log.Print("listening on http://", server.Addr, "/webhooks/gemini")
	log.Fatal(server.ListenAndServe())
}

func routes(verifier geminihook.Verifier) http.Handler {
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/gemini", endpoint.Middleware(http.HandlerFunc(existing)))
	return mux
}

// existing is a handler that was there before. A 2xx says that the event is
// done, anything else that Google shall send it again.
func existing(w http.ResponseWriter, r *http.Request) {
	var body struct{ Type string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, "bad body", http.StatusBadRequest)
		return
	}
	if ev, ok := geminihook.FromContext(r.Context()); ok { // what the middleware has decoded
		log.Printf("%s: %s, attempt %d", ev.ID, body.Type, ev.Attempt)
	}
	w.WriteHeader(http.StatusNoContent)
}

// Quickstart is the program on the first screen of the README.
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
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET")) // whsec_...
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		log.Printf("%s: %+v", ev.Type, ev.Data) // batch.succeeded: &{ID:... OutputFileURI:...}
		return nil                              // an error here makes Google send it again
	}))
	server := &http.Server{Addr: ":8080", ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// Quickstart is the first program of the README.
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
		if data, ok := ev.Data.(*geminihook.BatchSucceeded); ok {
			// Fetch the results of the batch data.ID through Google's SDK.
			log.Print("batch ", data.ID, " has finished")
		}
		return nil // an error makes Google send the event again
	}))
	server := &http.Server{Addr: ":8080", ReadTimeout: 10 * time.Second}
	log.Print("listening on ", server.Addr)
	log.Fatal(server.ListenAndServe())
}

// Quickstart is the first program in the README.
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
		switch data := ev.Data.(type) {
		case *geminihook.BatchSucceeded:
			// Fetch the results of data.ID with the SDK: client.Batches.Get.
			log.Printf("batch %q succeeded", data.ID)
		}
		return nil // after an error, Google delivers the event again
	}))
	server := &http.Server{Addr: "127.0.0.1:8080", ReadTimeout: 10 * time.Second}
	log.Printf("listening on http://%s/gemini", server.Addr)
	log.Fatal(server.ListenAndServe())
}

// Package function receives Gemini webhooks in Google Cloud Functions, which are also
// called Cloud Run functions. The entry point is Gemini.
package function

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	"github.com/geminihook/geminihook"
)

// The process starts only with a secret. FUNCTION_TARGET is set on the platform, but
// not in a test of this package.
func init() {
	if os.Getenv("FUNCTION_TARGET") == "" {
		return
	}
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal("GEMINI_WEBHOOK_SECRET: ", err)
	}
	endpoint := &geminihook.Endpoint{
		Verifier:   verifier,
		RunTimeout: 25 * time.Second, // less than the timeout of the function, 30 seconds
	}
	functions.HTTP("Gemini", endpoint.Handler(handle).ServeHTTP)
}

// handle is the place for the program's own work.
func handle(_ context.Context, ev *geminihook.Event) error {
	log.Printf("%s: %s", ev.Type, ev.JobID())
	return nil
}

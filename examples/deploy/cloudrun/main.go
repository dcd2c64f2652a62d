// Cloudrun receives Gemini webhooks on Google Cloud Run, and on every other platform
// that sends SIGTERM and kills the process 10 seconds later.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./cloudrun
package main

import (
	"cmp"
	"context"
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
	if err := run(handle); err != nil {
		log.Fatal(err)
	}
}

// runTimeout ends every run of the function within the 10 seconds after SIGTERM.
const runTimeout = 8 * time.Second

// run serves until SIGTERM, and then waits for the deliveries that are under way.
func run(fn func(context.Context, *geminihook.Event) error) error {
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		return fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", ":"+cmp.Or(os.Getenv("PORT"), "8080"))
	if err != nil {
		return err
	}
	handler := routes(&geminihook.Endpoint{Verifier: verifier, RunTimeout: runTimeout}, fn)
	server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), runTimeout+time.Second)
		defer cancel()
		ended <- server.Shutdown(grace)
	}()
	log.Print("listening on ", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
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

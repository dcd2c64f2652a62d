// Shop is the program of docs/operations.md: it fails for one job, gives another one
// up, and records both. With FIXED=1 it handles them.
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
)

func main() {
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	recorder := &record.Recorder{Dir: "deliveries"}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Observe: recorder.Observe}
	http.Handle("/gemini", endpoint.Handler(handle))
	listener, err := net.Listen("tcp", os.Getenv("ADDR"))
	if err != nil {
		log.Fatal(err)
	}
	slog.Info("listening on http://" + listener.Addr().String() + "/gemini")
	server := &http.Server{ReadTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

func handle(_ context.Context, ev *geminihook.Event) error {
	if os.Getenv("FIXED") == "1" {
		return nil
	}
	switch ev.JobID() {
	case "batches/42":
		return errors.New("no order for the batch")
	case "batches/77":
		return geminihook.Permanent(errors.New("the results are gone"))
	}
	return nil
}

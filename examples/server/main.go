// Server receives Gemini webhooks in an HTTP server that also has other routes,
// with timeouts and a graceful shutdown.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... go run ./examples/server
//
// While a secret is being rotated, set GEMINI_WEBHOOK_SECRET to both secrets,
// separated by a comma. ADDR is the address to listen on; the default is
// 127.0.0.1:8082.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
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
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, logger, os.Getenv); err != nil {
		logger.Error("the server has failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, logger *slog.Logger, getenv func(string) string) error {
	verifier, err := geminihook.NewHMAC(getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		return fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Logger: logger}

	mux := http.NewServeMux()
	mux.Handle("/webhooks/gemini", endpoint.Handler(handle(logger)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })

	listener, err := net.Listen("tcp", cmp.Or(getenv("ADDR"), "127.0.0.1:8082"))
	if err != nil {
		return err
	}
	const slowest = 90 * time.Second // a run may take RunTimeout, which is a minute
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      slowest,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelError),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	logger.Info("listening on http://" + listener.Addr().String() + "/webhooks/gemini")
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Wait for the deliveries that are under way. Google repeats those that
	// arrive after the listener is closed.
	grace, cancel := context.WithTimeout(context.Background(), slowest)
	defer cancel()
	return server.Shutdown(grace)
}

// handle is the place for the program's own work.
func handle(logger *slog.Logger) func(context.Context, *geminihook.Event) error {
	return func(_ context.Context, ev *geminihook.Event) error {
		switch data := ev.Data.(type) {
		case *geminihook.BatchSucceeded:
			logger.Info("batch succeeded", "id", data.ID, "output", data.OutputFileURI)
		case *geminihook.InteractionCompleted:
			logger.Info("interaction completed", "id", data.ID)
		default:
			logger.Info("event", "event", ev)
		}
		return nil
	}
}

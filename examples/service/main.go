// Service is a whole program that creates Gemini jobs, learns of their ends by
// webhook, and keeps their results: the one to copy. It runs in several instances
// beside each other, with PostgreSQL. README.md says how to run it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/geminihook/geminihook"
	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err := run(ctx, os.Getenv); err != nil {
		slog.Error("the service has failed", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then until the work under way has ended.
func run(ctx context.Context, getenv func(string) string) error {
	delay, err := time.ParseDuration(cmp.Or(getenv("SHUTDOWN_DELAY"), "5s"))
	if err != nil {
		return fmt.Errorf("SHUTDOWN_DELAY: %w", err)
	}
	s, err := newService(ctx, getenv, &geminihook.KeySet{})
	if err != nil {
		return err
	}
	defer s.pool.Close()
	public := newServer(cmp.Or(getenv("ADDR"), "127.0.0.1:8092"), s.routes())
	private := newServer(cmp.Or(getenv("PRIVATE_ADDR"), "127.0.0.1:8093"), s.privateRoutes())

	// What is under way goes on when ctx ends.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	if err := s.queue.Start(work); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(public) })
	group.Go(func() error { return serve(private) })
	group.Go(func() error { return ended(ctx, s.catchUp.Run(ctx)) })
	group.Go(func() error { s.purge(ctx); return nil })
	group.Go(func() error {
		<-ctx.Done()
		// Kubernetes sends requests for some seconds after SIGTERM, until every
		// proxy has learned that the pod is not ready.
		s.draining.Store(true)
		time.Sleep(delay)
		grace, cancel := context.WithTimeout(work, slowest)
		defer cancel()
		err := public.Shutdown(grace)                    // first no new events,
		err = errors.Join(err, s.queue.Stop(grace))      // then no new work,
		return errors.Join(err, private.Shutdown(grace)) // and the probes last
	})
	return group.Wait()
}

// slowest is longer than any request: a transaction may wait for RunTimeout, which is
// a minute, and then run for another.
const slowest = 150 * time.Second

func newServer(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      slowest,
		IdleTimeout:       2 * time.Minute,
	}
}

func serve(server *http.Server) error {
	slog.Info("listening", "addr", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ended returns nil for the error of what has ended because ctx has.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

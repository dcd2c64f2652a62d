// Queue answers each delivery at once and does the work later: the job that
// fetches a result is written in the same transaction as the mark that the
// event was handled, so that each event is queued exactly once.
//
//	go run .
//
// Without GEMINI_WEBHOOK_SECRET it makes one, and delivers some events to
// itself. Without GEMINI_API_KEY it asks a fake of the API in the same process
// for the results. With -postgres it runs on many machines at once.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// options are the flags.
type options struct {
	addr, ui         string
	sqlite, postgres string
	workers          int
	attempts         int
	timeout          time.Duration
	delay            time.Duration
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where to receive deliveries")
	flag.StringVar(&o.ui, "ui", "127.0.0.1:8081", "where River's web UI is, which asks for no password; empty: nowhere")
	flag.StringVar(&o.sqlite, "sqlite", "queue.db", "the database's file")
	flag.StringVar(&o.postgres, "postgres", "", "URL of a PostgreSQL database, in place of SQLite")
	flag.IntVar(&o.workers, "workers", 8, "jobs at a time in this process; 0 only receives")
	flag.IntVar(&o.attempts, "attempts", 12, "of a job, before it is dead")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "of one attempt")
	flag.DurationVar(&o.delay, "fake-delay", 50*time.Millisecond, "how long the fake API takes for an answer")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o, os.Getenv); err != nil {
		log.Fatal("queue: ", err)
	}
}

func run(ctx context.Context, out io.Writer, o options, getenv func(string) string) (err error) {
	client, closeAPI, err := newClient(ctx, getenv("GEMINI_API_KEY"), o.delay)
	if err != nil {
		return err
	}
	defer closeAPI()
	q, err := open(ctx, o, &worker{client: client})
	if err != nil {
		return err
	}
	defer q.close()

	secret := getenv("GEMINI_WEBHOOK_SECRET")
	verifier, err := geminihook.NewHMAC(cmp.Or(secret, webhooktest.Secret))
	if err != nil {
		return fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	url, stop, err := listen(o.addr, handler(q, verifier, logger))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	fmt.Fprintln(out, "receiving at", url)
	if o.ui != "" {
		uiURL, stopUI, err := listen(o.ui, q.ui)
		if err != nil {
			return err
		}
		defer func() { _ = stopUI() }()
		fmt.Fprintln(out, "the queue is at", uiURL)
	}
	if err := q.start(ctx); err != nil {
		return err
	}
	if secret == "" {
		if err := show(ctx, out, q, url); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return q.stopped()
}

// handler queues each event, and answers.
func handler(q *queue, verifier geminihook.Verifier, logger *slog.Logger) http.Handler {
	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: q.store, Logger: logger}
	return endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		return q.insert(ctx, jobFor(ev)) // nil commits the job and the mark together
	})
}

// listen serves h, and returns its URL.
func listen(addr string, h http.Handler) (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return server.Shutdown(ctx) // deliveries that are under way end
	}, nil
}

// show delivers some events as Google does, some of them twice, and waits for
// their results.
func show(ctx context.Context, out io.Writer, q *queue, url string) error {
	fmt.Fprintln(out, "no GEMINI_WEBHOOK_SECRET: delivering six events, every one twice")
	var deliveries []*webhooktest.Delivery
	for _, t := range webhooktest.Types()[:6] {
		deliveries = append(deliveries, webhooktest.New(t))
	}
	sender := &webhooktest.Sender{
		URL: url, Signers: []webhooktest.Signer{webhooktest.Static(webhooktest.Secret)}, Duplicates: 1,
		FirstRetry: 100 * time.Millisecond,
	}
	report, err := sender.Deliver(ctx, deliveries...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "acknowledged: %d events in %d attempts\n", len(report.Delivered), len(report.Attempts))
	for _, id := range report.Delivered {
		job, err := q.wait(ctx, id)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  job %d, attempt %d, %s: %s\n", job.ID, job.Attempt, job.State, job.Output())
	}
	fmt.Fprintln(out, "all jobs are done; Ctrl-C ends the program")
	return nil
}

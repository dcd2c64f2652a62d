// Queue responds to each delivery at once and does the work later. It writes the
// job that fetches a result in the same transaction as the mark that the event
// was handled, so that each event is queued exactly once.
//
//	go run .
//
// Without GEMINI_WEBHOOK_SECRET it makes a fresh secret and delivers some events
// to itself. Without GEMINI_API_KEY it fetches the results from a fake of the API
// in the same process. With -postgres it can run on several machines.
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
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8084", "receive deliveries at this `ADDRESS`")
	flag.StringVar(&o.ui, "ui", "127.0.0.1:8085", "serve River's web UI, which has no password, at this `ADDRESS`; if empty, do not serve it")
	flag.StringVar(&o.sqlite, "sqlite", "queue.db", "the `FILE` of the SQLite database")
	flag.StringVar(&o.postgres, "postgres", "", "the `URL` of a PostgreSQL database to use instead of SQLite")
	flag.IntVar(&o.workers, "workers", 8, "the number of concurrent jobs in this process; 0 means that it only receives")
	flag.IntVar(&o.attempts, "attempts", 12, "the number of attempts before a job is discarded")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "the time limit for one attempt")
	flag.DurationVar(&o.delay, "fake-delay", 50*time.Millisecond, "the time that the fake API takes to respond")
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

	given := getenv("GEMINI_WEBHOOK_SECRET")
	secret := cmp.Or(given, webhooktest.RandomSecret())
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	url, stop, err := listen(o.addr, handler(q, verifier, logger))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	url += "/gemini" // any other path works as well
	fmt.Fprintln(out, "listening on", url)
	if o.ui != "" {
		uiURL, stopUI, err := listen(o.ui, q.ui)
		if err != nil {
			return err
		}
		defer func() { _ = stopUI() }()
		fmt.Fprintln(out, "the queue's web UI is at", uiURL)
	}
	if err := q.start(ctx); err != nil {
		return err
	}
	if given == "" {
		if err := show(ctx, out, q, secret, url); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return q.stopped()
}

// handler queues a job for each event.
func handler(q *queue, verifier geminihook.Verifier, logger *slog.Logger) http.Handler {
	endpoint := &geminihook.Endpoint{Verifier: verifier, Transactor: q.transactor, Logger: logger}
	return endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		return q.insert(ctx, jobFor(ev)) // nil commits the job and the mark together
	})
}

// listen serves h in the background and returns its URL. The server runs until
// stop is called, which waits for the requests that are under way.
func listen(addr string, h http.Handler) (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		// A transaction may wait for RunTimeout, and the function has another one.
		WriteTimeout: 150 * time.Second,
		IdleTimeout:  2 * time.Minute,
	}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	}, nil
}

// show delivers some events the way Google does, each of them twice, and waits for
// their results.
func show(ctx context.Context, out io.Writer, q *queue, secret, url string) error {
	fmt.Fprintln(out, "GEMINI_WEBHOOK_SECRET is not set: delivering six events, each of them twice")
	var deliveries []*webhooktest.Delivery
	for _, t := range webhooktest.Types()[:6] {
		deliveries = append(deliveries, webhooktest.New(t))
	}
	sender := &webhooktest.Sender{
		URL: url, Signers: []webhooktest.Signer{webhooktest.Static(secret)}, Duplicates: 1,
		FirstRetry: 100 * time.Millisecond,
	}
	report, err := sender.Deliver(ctx, deliveries...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "acknowledged: %d events in %d attempts\n", len(report.Delivered),
		len(report.Attempts))
	for _, id := range report.Delivered {
		job, err := q.wait(ctx, id)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  job %d, attempt %d, %s: %s\n", job.ID, job.Attempt, job.State,
			job.Output())
	}
	fmt.Fprintln(out, "all jobs are done; press Ctrl-C to end the program")
	return nil
}

// Nats answers each delivery at once and does the work later, from a stream of
// NATS JetStream. The stream drops duplicates by webhook-id, so that the
// receiver needs no store.
//
//	go run .
//
// Without GEMINI_WEBHOOK_SECRET it makes one, and delivers some events to
// itself. Without -nats it runs a NATS server in the same process.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/nats-io/nats.go/jetstream"
)

// options are the flags.
type options struct{ addr, nats, dir string }

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "where to receive deliveries")
	flag.StringVar(&o.nats, "nats", "", "URL of a NATS server with JetStream; empty: one in this process")
	flag.StringVar(&o.dir, "dir", "nats-data", "where the server in this process keeps its stream")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o, os.Getenv); err != nil {
		log.Fatal("nats: ", err)
	}
}

func run(ctx context.Context, out io.Writer, o options, getenv func(string) string) error {
	secret := getenv("GEMINI_WEBHOOK_SECRET")
	verifier, err := geminihook.NewHMAC(cmp.Or(secret, webhooktest.Secret))
	if err != nil {
		return fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	js, closeNATS, err := connect(o)
	if err != nil {
		return err
	}
	defer closeNATS()
	stream, err := openStream(ctx, js)
	if err != nil {
		return err
	}
	w := &worker{out: out, done: make(map[string]int)}
	stopWork, err := w.start(ctx, stream)
	if err != nil {
		return err
	}
	defer stopWork()

	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           receiver(&geminihook.Endpoint{Verifier: verifier}, js),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Fprintln(out, "receiving at http://"+l.Addr().String())
	if secret == "" {
		if err := show(ctx, out, stream, w, "http://"+l.Addr().String()); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Shutdown(grace) // deliveries that are under way end
}

// receiver publishes each genuine delivery, and answers when the stream has
// it. It keeps nothing: what comes again, the stream knows by its id.
func receiver(endpoint *geminihook.Endpoint, js jetstream.JetStream) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, err := endpoint.Receive(w, r)
		if err == nil {
			err = publish(r.Context(), js, ev)
		}
		if err != nil {
			status := geminihook.StatusCode(err)
			if status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", http.MethodPost)
			}
			log.Printf("answered %d: %v", status, err)
			http.Error(w, http.StatusText(status), status)
		}
	})
}

// show delivers some events as Google does, every one twice, and waits until
// they are handled.
func show(ctx context.Context, out io.Writer, stream jetstream.Stream, w *worker, url string) error {
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
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "acknowledged: %d events in %d attempts; messages in the stream: %d\n",
		len(report.Delivered), len(report.Attempts), info.State.Msgs)
	for w.count(report.Delivered) < len(report.Delivered) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintln(out, "all events are handled; Ctrl-C ends the program")
	return nil
}

// worker handles what the stream has.
type worker struct {
	out io.Writer

	mu   sync.Mutex
	done map[string]int // by webhook-id
}

// handle is where the program's own work goes: to fetch a result and keep it.
// It may see an event twice, if an acknowledgement is lost.
func (w *worker) handle(_ context.Context, ev *geminihook.Event, attempt uint64) error {
	if ev.Type == geminihook.EventBatchSucceeded && attempt == 1 {
		return errors.New("the result cannot be had just now") // to show that it comes again
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[ev.ID]++
	_, err := fmt.Fprintf(w.out, "  handled %s, attempt %d: %+v\n", ev.Type, attempt, ev.Data)
	return err
}

// count says how many of the events were handled.
func (w *worker) count(ids []string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if w.done[id] > 0 {
			n++
		}
	}
	return n
}

// Nats responds to each delivery at once and does the work later, from a stream
// of NATS JetStream. The stream drops duplicates by webhook-id, so the receiver
// needs no store.
//
//	go run .
//
// Without GEMINI_WEBHOOK_SECRET it makes a fresh secret and delivers some events
// to itself. Without -nats it runs a NATS server in the same process.
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
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8086", "receive deliveries at this `ADDRESS`")
	flag.StringVar(&o.nats, "nats", "", "the `URL` of a NATS server with JetStream; if empty, run a server in this process")
	flag.StringVar(&o.dir, "dir", "nats-data", "the `FOLDER` in which the server in this process keeps its stream")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o, os.Getenv); err != nil {
		log.Fatal("nats: ", err)
	}
}

func run(ctx context.Context, out io.Writer, o options, getenv func(string) string) error {
	given := getenv("GEMINI_WEBHOOK_SECRET")
	secret := cmp.Or(given, webhooktest.RandomSecret())
	verifier, err := geminihook.NewHMAC(secret)
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
	p := &program{out: out, done: make(map[string]int)}
	stopWork, err := (&worker{fn: p.handle}).start(ctx, stream)
	if err != nil {
		return err
	}
	defer stopWork()

	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, MaxBody: maxBody}
	server := &http.Server{
		Handler:           receiver(endpoint, js),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	url := "http://" + l.Addr().String() + "/gemini" // any other path works as well
	fmt.Fprintln(out, "listening on", url)
	if given == "" {
		if err := p.show(ctx, stream, secret, url); err != nil {
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
	return server.Shutdown(grace) // waits for the deliveries that are under way
}

// receiver publishes each genuine delivery and responds when the stream has
// stored it. It keeps nothing, because the stream knows duplicates by their id.
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
			log.Printf("response %d: %v", status, err)
			http.Error(w, http.StatusText(status), status)
		}
	})
}

// program is what you would write: the work for an event. This one prints the
// events and counts them.
type program struct {
	out io.Writer

	mu   sync.Mutex
	done map[string]int // by webhook-id
}

// handle is the place for the program's own work, such as fetching a result and
// storing it.
func (p *program) handle(_ context.Context, ev *geminihook.Event, attempt uint64) error {
	if ev.Type == geminihook.EventBatchSucceeded && attempt == 1 {
		return errors.New("the result is not available yet") // to show a second attempt
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[ev.ID]++
	_, err := fmt.Fprintf(p.out, "  handled %s, attempt %d, id %q\n", ev.Type, attempt, ev.ID)
	return err
}

// count returns how many of the events were handled.
func (p *program) count(ids []string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if p.done[id] > 0 {
			n++
		}
	}
	return n
}

// show delivers some events the way Google does, each of them twice, and waits
// until they are handled.
func (p *program) show(ctx context.Context, stream jetstream.Stream, secret, url string) error {
	fmt.Fprintln(p.out, "GEMINI_WEBHOOK_SECRET is not set: delivering six events, each of them twice")
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
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "acknowledged: %d events in %d attempts; messages in the stream: %d\n",
		len(report.Delivered), len(report.Attempts), info.State.Msgs)
	for p.count(report.Delivered) < len(report.Delivered) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintln(p.out, "all events are handled; press Ctrl-C to end the program")
	return nil
}

// Dynamic receives static and dynamic webhooks at one endpoint and sets up both
// through the official SDK: it registers, pings, and rotates a static webhook,
// and creates a batch with a dynamic webhook.
//
//	go run .
//
// Without GEMINI_API_KEY it talks to a fake of the API in the same process, which
// delivers the way Google does. To talk to Google, set GEMINI_API_KEY, and set
// PUBLIC_URL to an https URL that forwards to ADDR (default 127.0.0.1:8087).
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"google.golang.org/genai"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv); err != nil {
		log.Fatal("dynamic: ", err)
	}
}

func run(ctx context.Context, out io.Writer, getenv func(string) string) error {
	// The secret of the binding belongs to this program alone. A real program
	// stores it, so that it still recognizes its earlier jobs after a restart.
	binding, err := geminihook.NewBinding(webhooktest.RandomSecret())
	if err != nil {
		return err
	}
	if getenv("GEMINI_API_KEY") == "" {
		return offline(ctx, out, binding)
	}
	public := strings.TrimSuffix(getenv("PUBLIC_URL"), "/")
	if !strings.HasPrefix(public, "https://") {
		return errors.New("GEMINI_API_KEY is set: also set PUBLIC_URL, to the https URL at which Google reaches this program")
	}
	r := newReceiver(&geminihook.KeySet{}, binding)
	url, stop, err := listen(cmp.Or(getenv("ADDR"), "127.0.0.1:8087"), r.routes())
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "listening on %s/gemini\n", url)
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: getenv("GEMINI_API_KEY"),
	})
	if err != nil {
		return err
	}
	p := &program{
		out: out, client: client, receiver: r, binding: binding, url: public, wait: time.Hour,
	}
	return p.play(ctx)
}

// program is what the modes with and without an API key have in common.
type program struct {
	out      io.Writer
	client   *genai.Client
	receiver *receiver
	binding  *geminihook.Binding
	url      string        // of the receiver, as Google reaches it
	wait     time.Duration // how long to wait for a delivery
}

// play goes through the lifetime of a static webhook and of a dynamic one.
func (p *program) play(ctx context.Context) (err error) {
	id, err := p.register(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove(context.WithoutCancel(ctx), id)) }()
	if err := p.ping(ctx, id); err != nil {
		return err
	}
	if err := p.rotate(ctx, id); err != nil {
		return err
	}
	if err := p.ping(ctx, id); err != nil {
		return err
	}
	return p.batch(ctx, "order-1042")
}

// next waits for the next event and prints it.
func (p *program) next(ctx context.Context) (*geminihook.Event, error) {
	select {
	case ev := <-p.receiver.events:
		fmt.Fprintf(p.out, "  received %s, signed %s with %s\n", ev.Type, ev.Proof.Scheme,
			ev.Proof.KeyName)
		return ev, nil
	case <-time.After(p.wait):
		return nil, fmt.Errorf("no delivery arrived within %v", p.wait)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listen serves h in the background and returns its URL. The server runs until
// stop is called.
func listen(addr string, h http.Handler) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      90 * time.Second, // a run may take RunTimeout, which is a minute
		IdleTimeout:       2 * time.Minute,
	}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = server.Close() }, nil
}

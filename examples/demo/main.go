// Demo shows geminihook at work. It starts a server on a loopback port, sends all
// recorded deliveries to it, signed again if they must be fresh, together with
// duplicates, failures, and forgeries, and prints a table of the responses. Run
// it in the root of the repository:
//
//	go run ./examples/demo
//
// It ends by itself. The exit status is 0 if every response is as expected.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Stdout); err != nil {
		log.Fatal("demo: ", err)
	}
}

// run plays the scenes and returns an error if a response is not as expected.
func run(out io.Writer) error {
	recorded, err := webhooktest.Load(os.DirFS("testdata/deliveries"), "*.http")
	if err != nil {
		return fmt.Errorf("%w (run it in the root of the repository)", err)
	}
	p := &program{seen: map[string]string{}, runs: map[string]int{}, reasons: map[string]string{}}
	p.busy.Add(copies)
	url, stop, err := p.start()
	if err != nil {
		return err
	}
	defer stop()

	fmt.Fprintf(out, "listening on %s\n\n", url)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DELIVERY\tRESPONSE\tTHE FUNCTION SAW\tRUNS")
	fmt.Fprintln(table, "--------\t--------\t----------------\t----")
	wrong := 0
	start := time.Now()
	rows := scenes(recorded)
	for _, s := range rows {
		response, err := s.play(url)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		saw, runs := p.what(s.delivery.ID())
		mark := ""
		if response != s.response || runs != s.runs {
			wrong++
			mark = fmt.Sprintf("  <- expected %s, %d runs", s.response, s.runs)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d%s\n", s.name, response, saw, runs, mark)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d responses are not as expected", wrong, len(rows))
	}
	fmt.Fprintf(out, "\nAll %d as expected, in %v.\n", len(rows),
		time.Since(start).Round(time.Millisecond))
	return nil
}

// program is what you would write: an Endpoint with a function. This one remembers
// what it saw, for the table.
type program struct {
	mu      sync.Mutex
	seen    map[string]string // what the function saw, by webhook-id
	runs    map[string]int    // how often it ran, by webhook-id
	reasons map[string]string // why an event was refused, by webhook-id
	busy    sync.WaitGroup    // counts the copies that have not had their 503 yet
}

// start serves the endpoint, and starts a key server that stands in for Google's.
func (p *program) start() (url string, stop func(), err error) {
	static, err := geminihook.NewHMAC(secret)
	if err != nil {
		return "", nil, err
	}
	binding, err := geminihook.NewBinding(bindingSecret)
	if err != nil {
		return "", nil, err
	}
	keys := webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(0)),
		webhooktest.Public(webhooktest.Key(1)))
	endpoint := &geminihook.Endpoint{
		Verifier: geminihook.AnyOf(static, &geminihook.KeySet{
			URL: keys.URL, Logger: slog.New(slog.DiscardHandler),
		}),
		Authorize: p.authorize(binding),
		Logger:    slog.New(slog.DiscardHandler), // the table shows what it would log
		Observe: func(_ context.Context, o geminihook.Outcome) {
			if o.Result == geminihook.Busy {
				p.busy.Done()
			}
		},
	}
	url, stopReceiver, err := listen(endpoint.Handler(p.handle))
	if err != nil {
		keys.Close()
		return "", nil, err
	}
	return url, func() { stopReceiver(); keys.Close() }, nil
}

// handle is the program's own work.
func (p *program) handle(_ context.Context, ev *geminihook.Event) error {
	p.mu.Lock()
	p.seen[ev.ID] = describe(ev)
	p.runs[ev.ID]++
	p.mu.Unlock()
	switch ev.UserMetadata["demo"] {
	case "slow":
		p.busy.Wait() // so that the copies arrive during this run, however busy the machine is
	case "fails at first":
		if ev.Attempt == 1 {
			return errors.New("the database is unavailable")
		}
	case "panics at first":
		if ev.Attempt == 1 {
			panic("bug")
		}
	}
	return nil
}

// describe returns what the table shows of an event, in at most 30 columns.
func describe(ev *geminihook.Event) string {
	switch data := ev.Data.(type) {
	case *geminihook.BatchSucceeded:
		return "BatchSucceeded " + data.ID
	case *geminihook.BatchFailed:
		return "BatchFailed " + data.ErrorCode
	case *geminihook.InteractionFailed:
		return "InteractionFailed " + data.ErrorCode
	case *geminihook.VideoGenerated:
		return "VideoGenerated " + data.FileName
	case *geminihook.Unknown:
		return fmt.Sprintf("Unknown %q", ev.Type)
	}
	return fmt.Sprintf("%T", ev.Data)[len("*geminihook."):]
}

// authorize accepts the events that belong to jobs of this program, and remembers
// the others.
func (p *program) authorize(
	binding *geminihook.Binding,
) func(context.Context, *geminihook.Event) error {
	return func(ctx context.Context, ev *geminihook.Event) error {
		err := binding.Authorize(ctx, ev)
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.reasons[ev.ID] = "nothing: not our job"
		}
		return err
	}
}

// what returns what the function saw of an event, and how often it ran.
func (p *program) what(id string) (saw string, runs int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	saw = "nothing"
	if s, ok := p.reasons[id]; ok {
		saw = s
	}
	if s, ok := p.seen[id]; ok {
		saw = s
	}
	return saw, p.runs[id]
}

// listen serves h on a free loopback port and returns its URL.
func listen(h http.Handler) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{
		Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		// Without this, the server would print the panic in the middle of the table.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = srv.Serve(l) }()
	return "http://" + l.Addr().String() + "/gemini", func() { _ = srv.Close() }, nil
}

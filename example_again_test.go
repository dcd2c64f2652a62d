package geminihook_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
)

// handleAgain handles an event once more that was handled before. The program has
// kept what [geminihook.Event.MarshalBinary] returned. Calls with the same reason
// handle the event once.
func handleAgain(
	ctx context.Context, store geminihook.Store, reason string, kept []byte,
	fn func(context.Context, *geminihook.Event) error,
) (geminihook.Outcome, error) {
	ev := &geminihook.Event{}
	if err := ev.UnmarshalBinary(kept); err != nil {
		return geminihook.Outcome{}, err
	}
	again := &geminihook.Endpoint{
		Store: store, // or Transactor, as in the program's own endpoint
		Key: func(_ context.Context, ev *geminihook.Event) (string, error) {
			return "again:" + reason + ":" + ev.ID, nil
		},
	}
	return again.Process(ctx, ev, fn), nil
}

func ExampleEndpoint_Process() {
	ev, err := geminihook.ParseUnverified(webhooktest.Body(geminihook.EventBatchSucceeded))
	if err != nil {
		log.Fatal(err)
	}
	ev.ID = "msg_1"
	kept, err := ev.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}

	store := &geminihook.MemoryStore{}
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		fmt.Println("handling", ev.JobID())
		return nil
	}
	for range 2 {
		outcome, err := handleAgain(context.Background(), store, "ticket-4711", kept, handle)
		fmt.Println(outcome.Result, err)
	}
	// Output:
	// handling batch_123456
	// processed <nil>
	// duplicate <nil>
}

// handleRecorded handles an event from a file that a Recorder has written. The name
// must begin with "failed-": nothing in the other files is verified.
func handleRecorded(
	ctx context.Context, endpoint *geminihook.Endpoint, name string,
	fn func(context.Context, *geminihook.Event) error,
) (geminihook.Outcome, error) {
	file, err := os.Open(name)
	if err != nil {
		return geminihook.Outcome{}, err
	}
	defer file.Close()
	req, err := http.ReadRequest(bufio.NewReader(file))
	if err != nil {
		return geminihook.Outcome{}, err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return geminihook.Outcome{}, err
	}
	ev, err := geminihook.ParseUnverified(body)
	if err != nil {
		return geminihook.Outcome{}, err
	}
	ev.ID = req.Header.Get("webhook-id")
	ev.Proof.Scheme = req.Header.Get("geminihook-scheme") // is part of the event's key
	return endpoint.Process(ctx, ev, fn), nil
}

// A dynamic event on which the function failed is handled after the fix. Google's
// next attempt is then a duplicate.
func ExampleEndpoint_Process_recorded() {
	dir, err := os.MkdirTemp("", "deliveries")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	logger := slog.New(slog.DiscardHandler)
	recorder := &record.Recorder{Dir: dir, Logger: logger}
	key := webhooktest.Key(1)
	endpoint := &geminihook.Endpoint{
		Verifier: &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(key)}},
		Observe:  recorder.Observe, Logger: logger,
	}
	broken := func(context.Context, *geminihook.Event) error { return errNotFound }
	delivery := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Dynamic(key))
	fmt.Println(webhooktest.Post(endpoint.Handler(broken), delivery))

	files, err := filepath.Glob(filepath.Join(dir, "failed-*.http"))
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range files {
		outcome, err := handleRecorded(context.Background(), endpoint, name, handle)
		fmt.Println(outcome.Result, err)
	}
	files, err = filepath.Glob(filepath.Join(dir, "*.http"))
	fmt.Println(len(files), err)
	fmt.Println(webhooktest.Post(endpoint.Handler(broken), delivery))
	// Output:
	// 500
	// processed <nil>
	// 0 <nil>
	// 200
}

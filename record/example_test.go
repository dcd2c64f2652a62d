package record_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
)

// An event that the function fails at is recorded, found, looked at, delivered again
// after the fix, and its file disappears. In production, "geminihook verify" looks at
// the file, and "geminihook send -replay FILE -resign URL" delivers it again.
func Example() {
	dir, err := os.MkdirTemp("", "deliveries")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	recorder := &record.Recorder{Dir: dir, Logger: logger}
	endpoint := &geminihook.Endpoint{
		Verifier: verifier,
		Observe:  recorder.Observe,
		Logger:   logger,
	}
	fixed := false
	handler := endpoint.Handler(func(_ context.Context, ev *geminihook.Event) error {
		if _, ok := ev.Data.(*geminihook.Unknown); ok && !fixed {
			return errors.New("unknown event type")
		}
		return nil
	})
	recorded := func() []string {
		files, err := filepath.Glob(filepath.Join(dir, "failed-*.http"))
		if err != nil {
			log.Fatal(err)
		}
		return files
	}

	// Google delivers an event that the function does not expect.
	signer := webhooktest.Static(webhooktest.TestSecret)
	body := []byte(`{"type":"batch.paused","data":{"id":"batches/42"}}`)
	fmt.Println(webhooktest.Post(handler, webhooktest.NewBody(body, signer)), len(recorded()))

	// Find it and look at it.
	deliveries, err := webhooktest.Load(os.DirFS(dir), "failed-*.http")
	if err != nil {
		log.Fatal(err)
	}
	poison := deliveries[0].Delivery
	fmt.Println(string(poison.Body))

	// Deliver it again, before and after the fix.
	poison.Sign(time.Now(), signer)
	fmt.Println(webhooktest.Post(handler, poison), len(recorded()))
	fixed = true
	fmt.Println(webhooktest.Post(handler, poison), len(recorded()))
	// Output:
	// 500 1
	// {"type":"batch.paused","data":{"id":"batches/42"}}
	// 500 1
	// 200 0
}

// Record what is processed, for tests. The timestamps of the files are old, so a test
// signs them again or sets the clock of the verifier.
func ExampleRecorder() {
	dir, err := os.MkdirTemp("", "deliveries")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	recorder := &record.Recorder{Dir: dir, Results: []geminihook.Result{geminihook.Processed}}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Observe: recorder.Observe}
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error { return nil })

	signer := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	for _, d := range []*webhooktest.Delivery{delivery, delivery, delivery.Tampered()} {
		fmt.Println(webhooktest.Post(handler, d))
	}
	recorded, err := webhooktest.Load(os.DirFS(dir), "processed-*.http")
	fmt.Println(len(recorded), err)
	// Output:
	// 200
	// 200
	// 400
	// 1 <nil>
}

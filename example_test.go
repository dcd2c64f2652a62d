package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// What the examples' functions stand for.
var (
	errNotFound   = errors.New("not found")
	fetchResults  = func(ctx context.Context, id string) error { return nil }
	createJob     = func(metadata map[string]any) {}
	handle        = func(ctx context.Context, ev *geminihook.Event) error { return nil }
	staticSecrets = []string{webhooktest.TestSecret}
)

// isOurs stands for a query in the program's database.
func isOurs(_ context.Context, job string) (bool, error) { return job == "batches/ours", nil }

func ExampleEndpoint_Handler() {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		switch data := ev.Data.(type) {
		case *geminihook.BatchSucceeded:
			fmt.Println("batch", data.ID, "is in", data.OutputFileURI)
		case *geminihook.Unknown:
			fmt.Println("what is", ev.Type)
		}
		return nil
	})

	body := webhooktest.Body(geminihook.EventBatchSucceeded)
	delivery := webhooktest.NewBody(body, webhooktest.Static(webhooktest.TestSecret))
	for range 2 { // the second is a duplicate
		fmt.Println(webhooktest.Post(handler, delivery))
	}
	// Output:
	// batch batch_123456 is in gs://my-bucket/results.jsonl
	// 200
	// 200
}

func ExampleEndpoint_Middleware() {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	existing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, _ := geminihook.FromContext(r.Context())
		fmt.Println(ev.Type, r.ContentLength, "bytes")
		w.WriteHeader(http.StatusNoContent) // a 2xx status completes the event
	})
	handler := endpoint.Middleware(existing)

	signer := webhooktest.Static(webhooktest.TestSecret)
	fmt.Println(webhooktest.Post(handler, webhooktest.New(geminihook.EventBatchExpired, signer)))
	// Output:
	// batch.expired 109 bytes
	// 204
}

func ExampleEndpoint_Receive() {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	printType := func(ctx context.Context, ev *geminihook.Event) error {
		fmt.Println(ev.Type)
		return nil
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, err := endpoint.Receive(w, r)
		if err != nil {
			slog.Warn("webhook refused", "reason", err)
			w.WriteHeader(geminihook.StatusCode(err))
			return
		}
		outcome := endpoint.Process(r.Context(), ev, printType)
		w.WriteHeader(outcome.Status)
	})

	signer := webhooktest.Static(webhooktest.TestSecret)
	fmt.Println(webhooktest.Post(handler, webhooktest.New(geminihook.EventBatchExpired, signer)))
	// Output:
	// batch.expired
	// 200
}

func ExamplePermanent() {
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		batch, ok := ev.Data.(*geminihook.BatchSucceeded)
		if !ok {
			return nil
		}
		err := fetchResults(ctx, batch.ID)
		if errors.Is(err, errNotFound) {
			return geminihook.Permanent(err) // another delivery would not help
		}
		return err
	}
	fmt.Println(geminihook.StatusCode(geminihook.Permanent(errNotFound)))
	_ = handle
	// Output:
	// 200
}

func ExampleParseUnverified() {
	body := `{"type":"video.generated","data":{"id":"v1","video_uri":"gs://b/v.mp4"}}`
	ev, err := geminihook.ParseUnverified([]byte(body))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", ev.Data)
	// Output:
	// &{ID:v1 OutputFileURI:gs://b/v.mp4 FileName:}
}

func ExampleParseSecret() {
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	fmt.Printf("%v %+v\n", err, secret)
	_, err = geminihook.ParseSecret("your_gemini_webhook_secret")
	fmt.Println(err)
	// Output:
	// <nil> whsec_...MDAx
	// geminihook: secret is a placeholder: put the secret of your webhook in its place
}

package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// What the examples' functions stand for.
var (
	errNotFound   = errors.New("not found")
	fetchResults  = func(ctx context.Context, id string) error { return nil }
	count         = func(metric string) {}
	createJob     = func(metadata map[string]any) {}
	staticSecrets = []string{webhooktest.TestSecret}
)

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

	delivery := webhooktest.NewBody(webhooktest.Body(geminihook.EventBatchSucceeded), webhooktest.Static(webhooktest.TestSecret))
	for range 2 { // the second is a duplicate
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, delivery.Request("/gemini"))
		fmt.Println(w.Code)
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

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, webhooktest.New(geminihook.EventBatchExpired, webhooktest.Static(webhooktest.TestSecret)).Request("/gemini"))
	fmt.Println(w.Code)
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
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, err := endpoint.Receive(w, r)
		if err != nil {
			slog.Warn("webhook refused", "reason", err)
			w.WriteHeader(geminihook.StatusCode(err))
			return
		}
		outcome := endpoint.Process(r.Context(), ev, func(ctx context.Context, ev *geminihook.Event) error {
			fmt.Println(ev.Type)
			return nil
		})
		w.WriteHeader(outcome.Status)
	})

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, webhooktest.New(geminihook.EventBatchExpired, webhooktest.Static(webhooktest.TestSecret)).Request("/gemini"))
	// Output:
	// batch.expired
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
	ev, err := geminihook.ParseUnverified([]byte(`{"type":"video.generated","data":{"id":"v1","video_uri":"gs://b/v.mp4"}}`))
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
	_, err = geminihook.ParseSecret("whsec_...3frh")
	fmt.Println(err)
	// Output:
	// <nil> whsec_...MDAx
	// geminihook: secret is the truncated form that Google lists: the whole secret is shown only when it is created or rotated; rotate it to get a new one
}

package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

var newSecret, previousSecret = webhooktest.RandomSecret(), webhooktest.RandomSecret()

// rotating is a verifier whose secrets change while the program runs.
type rotating struct {
	current atomic.Pointer[geminihook.HMAC]
}

func (r *rotating) Verify(
	ctx context.Context, header http.Header, body []byte,
) (geminihook.Proof, error) {
	return r.current.Load().Verify(ctx, header, body)
}

func ExampleVerifier() {
	verifier, err := geminihook.NewHMAC(staticSecrets...)
	if err != nil {
		log.Fatal(err)
	}
	static := &rotating{}
	static.current.Store(verifier)
	endpoint := &geminihook.Endpoint{Verifier: static}
	http.Handle("/gemini", endpoint.Handler(handle))

	// When the secret is rotated:
	verifier, err = geminihook.NewHMAC(newSecret, previousSecret)
	if err != nil {
		log.Fatal(err)
	}
	static.current.Store(verifier)
}

// The environment variable has one secret or, during a rotation, a list: the new
// one and the previous one, separated by a comma.
func ExampleNewHMAC() {
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal("GEMINI_WEBHOOK_SECRET: ", err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	http.Handle("/gemini", endpoint.Handler(handle))
}

// A secret that Kubernetes or Cloud Run mounts as a file.
func ExampleSecretFile() {
	verifier := &geminihook.SecretFile{Path: "/etc/gemini/secret"}
	if err := verifier.Refresh(context.Background()); err != nil {
		log.Fatal(err) // the file is missing, or a secret in it is refused
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	http.Handle("/gemini", endpoint.Handler(handle))
}

// The .env file that "geminihook rotate -env" writes.
func ExampleSecretFile_variable() {
	path := filepath.Join(os.TempDir(), "geminihook-example.env")
	defer os.Remove(path)
	line := "export GEMINI_WEBHOOK_SECRET=" + newSecret + "," + previousSecret + "\n"
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		log.Fatal(err)
	}

	verifier := &geminihook.SecretFile{Path: path, Variable: "GEMINI_WEBHOOK_SECRET"}
	verifier.Logger = slog.New(slog.DiscardHandler)
	err := verifier.Refresh(context.Background())
	fmt.Println(verifier.Status().Secrets, err)
	// Output:
	// 2 <nil>
}

// Several programs share a project, and its static webhook reports the jobs of all
// of them.
func ExampleEndpoint_authorize() {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{
		Verifier: verifier,
		Authorize: func(ctx context.Context, ev *geminihook.Event) error {
			ours, err := isOurs(ctx, ev.JobID())
			if err != nil {
				return err // could not decide: 503, and Google delivers the event again
			}
			if !ours {
				return geminihook.Permanent(errors.New("another program's job")) // 200
			}
			return nil
		},
		Observe: func(_ context.Context, o geminihook.Outcome) { fmt.Println(o.Result, o.Status) },
	}
	handler := endpoint.Handler(handle)

	signer := webhooktest.Static(webhooktest.TestSecret)
	for _, id := range []string{"batches/ours", "batches/theirs"} {
		data := &geminihook.BatchSucceeded{ID: id}
		webhooktest.Post(handler, webhooktest.NewData(data, signer))
	}
	// Output:
	// processed 200
	// ignored 200
}

// The function puts the event into a queue, and a worker takes it from there.
func ExampleEvent_MarshalBinary() {
	queue := make(chan []byte, 1)
	enqueue := func(ctx context.Context, ev *geminihook.Event) error {
		message, err := ev.MarshalBinary()
		if err != nil {
			return err
		}
		queue <- message
		return nil
	}
	work := func(ctx context.Context, message []byte) error {
		ev := &geminihook.Event{}
		if err := ev.UnmarshalBinary(message); err != nil {
			return err
		}
		return handle(ctx, ev)
	}

	ctx := context.Background()
	data := &geminihook.BatchExpired{ID: "batches/abc"}
	ev := &geminihook.Event{ID: "msg_1", Type: geminihook.EventBatchExpired, Data: data}
	fmt.Println(enqueue(ctx, ev), work(ctx, <-queue))
	// Output:
	// <nil> <nil>
}

// A program that also asks the API about jobs whose event is late gives both
// reports of a job the same key.
func ExampleByJob() {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Key: geminihook.ByJob}
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		fmt.Println("handling", ev.JobID())
		return nil
	}
	handler := endpoint.Handler(handle)
	body := webhooktest.Body(geminihook.EventBatchSucceeded)
	delivery := webhooktest.NewBody(body, webhooktest.Static(webhooktest.TestSecret))
	fmt.Println(webhooktest.Post(handler, delivery))

	// The API says that the batch has succeeded:
	ev := &geminihook.Event{
		ID:   "asked-batch_123456",
		Type: geminihook.EventBatchSucceeded,
		Data: &geminihook.BatchSucceeded{ID: "batches/batch_123456"},
	}
	fmt.Println(endpoint.Process(context.Background(), ev, handle).Result)
	// Output:
	// handling batch_123456
	// 200
	// duplicate
}

// A server with the limits that the package cannot set itself.
func ExampleEndpoint() {
	var mux *http.ServeMux // with the endpoint's handler
	server := &http.Server{
		Addr:              ":8080",
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      90 * time.Second, // longer than any run of the function
		IdleTimeout:       2 * time.Minute,
	}
	fmt.Println(server.ReadTimeout)
	// Output:
	// 10s
}

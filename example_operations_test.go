package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

func (r *rotating) Verify(ctx context.Context, header http.Header, body []byte) (geminihook.Proof, error) {
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
	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error { return nil }))

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
	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error { return nil }))
}

// A secret that Kubernetes or Cloud Run mounts as a file.
func ExampleSecretFile() {
	verifier := &geminihook.SecretFile{Path: "/etc/gemini/secret"}
	if err := verifier.Refresh(context.Background()); err != nil {
		log.Fatal(err) // the file is missing, or a secret in it is refused
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error { return nil }))
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

func ExampleOutcome() {
	endpoint := &geminihook.Endpoint{
		Observe: func(_ context.Context, o geminihook.Outcome) {
			count("gemini_webhooks_total." + string(o.Result))
			switch {
			case errors.Is(o.Err, geminihook.ErrLeaseLost):
				count("gemini_webhooks_claims_lost_total")
			case o.Result == geminihook.Processed && errors.Is(o.Err, geminihook.ErrStore):
				count("gemini_webhooks_marks_lost_total")
			}
		},
	}
	fmt.Println(geminihook.Processed, geminihook.Rejected, endpoint.Lease)
	// Output:
	// processed rejected 0s
}

// handleAgain handles an event once more that was handled before. The id and the
// body are those that the program has kept. Calls with the same reason handle the
// event once.
func handleAgain(ctx context.Context, store geminihook.Store, reason, id string, body []byte,
	fn func(context.Context, *geminihook.Event) error,
) (geminihook.Outcome, error) {
	ev, err := geminihook.ParseUnverified(body)
	if err != nil {
		return geminihook.Outcome{}, err
	}
	ev.ID = id
	again := &geminihook.Endpoint{
		Store: store,
		Key: func(_ context.Context, ev *geminihook.Event) (string, error) {
			return "again:" + reason + ":" + ev.ID, nil
		},
	}
	return again.Process(ctx, ev, fn), nil
}

func ExampleEndpoint_Process() {
	store := &geminihook.MemoryStore{}
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		fmt.Println("handling", ev.JobID())
		return nil
	}
	for range 2 {
		outcome, err := handleAgain(context.Background(), store, "ticket-4711", "msg_1",
			[]byte(`{"type":"batch.succeeded","data":{"id":"batches/abc"}}`), handle)
		fmt.Println(outcome.Result, err)
	}
	// Output:
	// handling batches/abc
	// processed <nil>
	// duplicate <nil>
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
	handler.ServeHTTP(httptest.NewRecorder(),
		webhooktest.NewBody(webhooktest.Body(geminihook.EventBatchSucceeded), webhooktest.Static(webhooktest.TestSecret)).Request("/gemini"))

	// The API says that the batch has succeeded:
	ev := &geminihook.Event{
		ID:   "asked-batch_123456",
		Type: geminihook.EventBatchSucceeded,
		Data: &geminihook.BatchSucceeded{ID: "batches/batch_123456"},
	}
	fmt.Println(endpoint.Process(context.Background(), ev, handle).Result)
	// Output:
	// handling batch_123456
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
		WriteTimeout:      time.Minute + 20*time.Second, // longer than any run of the function
		IdleTimeout:       2 * time.Minute,
	}
	fmt.Println(server.ReadTimeout)
	// Output:
	// 10s
}

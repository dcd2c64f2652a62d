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
	"strings"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// What the examples' functions stand for.
var (
	errNotFound   = errors.New("not found")
	fetchResults  = func(ctx context.Context, id string) error { return nil }
	counter       = func(result string, elapsed time.Duration) {}
	createJob     = func(metadata map[string]any) {}
	staticSecrets = []string{webhooktest.Secret}
)

func ExampleEndpoint_Handler() {
	verifier, err := geminihook.NewHMAC(webhooktest.Secret)
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

	delivery := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
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
	verifier, err := geminihook.NewHMAC(webhooktest.Secret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	existing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, _ := geminihook.FromContext(r.Context())
		fmt.Println(ev.Type, r.ContentLength, "bytes")
		w.WriteHeader(http.StatusNoContent) // a 2xx: done
	})
	handler := endpoint.Middleware(existing)

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, webhooktest.New(geminihook.EventBatchExpired, webhooktest.Static(webhooktest.Secret)).Request("/gemini"))
	fmt.Println(w.Code)
	// Output:
	// batch.expired 103 bytes
	// 204
}

func ExampleEndpoint_Receive() {
	verifier, err := geminihook.NewHMAC(webhooktest.Secret)
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
		fmt.Println(ev.Type) // keep track of ev.ID yourself
	})

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, webhooktest.New(geminihook.EventBatchExpired, webhooktest.Static(webhooktest.Secret)).Request("/gemini"))
	// Output:
	// batch.expired
}

// One endpoint for static and dynamic webhooks.
func ExampleAnyOf() {
	static, err := geminihook.NewHMAC(strings.Split(os.Getenv("GEMINI_WEBHOOK_SECRET"), ",")...)
	if err != nil {
		log.Fatal(err)
	}
	binding, err := geminihook.NewBinding(os.Getenv("WEBHOOK_BINDING_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{
		Verifier:  geminihook.AnyOf(static, &geminihook.KeySet{}), // Google's keys
		Authorize: binding.Authorize,
	}
	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error { return nil }))
}

func ExampleBinding() {
	binding, err := geminihook.NewBinding("whsec_YSBzZWNyZXQgb2YgeW91ciBvd24sIGtlZXAgaXQ=")
	if err != nil {
		log.Fatal(err)
	}
	// When a job is created:
	metadata, err := binding.Metadata("order-1042")
	if err != nil {
		log.Fatal(err)
	}
	createJob(metadata) // its webhook_config.user_metadata

	// When its event arrives:
	endpoint := &geminihook.Endpoint{Verifier: &geminihook.KeySet{}, Authorize: binding.Authorize}
	http.Handle("/dynamic", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		order, _ := binding.Label(ev) // "order-1042"
		return fetchResults(ctx, order)
	}))
	label, ok := binding.Check(metadata[geminihook.BindingKey].(string))
	fmt.Println(label, ok)
	// Output:
	// order-1042 true
}

// Where user_metadata cannot be used: the token is a part of the URL in
// webhook_config.uris.
func ExampleBinding_Check() {
	binding, err := geminihook.NewBinding("whsec_YSBzZWNyZXQgb2YgeW91ciBvd24sIGtlZXAgaXQ=")
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: &geminihook.KeySet{}}
	events := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error { return nil })
	http.HandleFunc("POST /dynamic/{token}", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := binding.Check(r.PathValue("token")); !ok {
			http.NotFound(w, r)
			return
		}
		events.ServeHTTP(w, r)
	})
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
	_ = endpoint
	// later: static.current.Store(the HMAC with the new and the old secret)
}

func ExampleOutcome() {
	endpoint := &geminihook.Endpoint{
		Logger: slog.Default(),
		Observe: func(_ context.Context, o geminihook.Outcome) {
			counter(string(o.Result), o.Elapsed)
			if errors.Is(o.Err, geminihook.ErrLeaseLost) {
				counter("possible double run", o.Elapsed)
			}
		},
	}
	fmt.Println(geminihook.Processed, geminihook.Rejected, endpoint.Lease)
	// Output:
	// processed rejected 0s
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
	secret, err := geminihook.ParseSecret(webhooktest.Secret)
	fmt.Printf("%v %+v\n", err, secret)
	_, err = geminihook.ParseSecret("whsec_...3frh")
	fmt.Println(err)
	// Output:
	// <nil> whsec_...MDAx
	// geminihook: secret is the truncated form that Google lists: the whole secret is shown only when it is created or rotated; rotate it to get a new one
}

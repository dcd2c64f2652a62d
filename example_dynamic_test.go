package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path"

	"github.com/geminihook/geminihook"
)

// One endpoint receives static and dynamic webhooks.
func ExampleAnyOf() {
	static, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
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
	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		return fetchResults(ctx, ev.JobID())
	}))
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

// If the program cannot set user_metadata, it puts the token into the URL in
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

// The program compares the label and the job with its own record of the job, so
// that a token that somebody has learned is of no use for another job.
func ExampleBinding_Label() {
	var binding *geminihook.Binding
	jobs := map[string]string{} // the last path segment of the job's id, by order
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		order, ok := binding.Label(ev)
		if !ok || jobs[order] != path.Base(ev.JobID()) {
			// Not Permanent, because the event may overtake the record.
			return errors.New("the event is not about the job of its order")
		}
		return fetchResults(ctx, order)
	}
	_ = handle
}

// Tenants receives the static webhooks of several tenants at one endpoint. Each
// tenant has different signing secrets, which are looked up for each request.
//
//	go run ./examples/tenants
//
// It delivers some events to itself over HTTP, among them an attack by one
// tenant on another, and prints the responses. The secrets are fresh in each
// run. The exit status is 0 only if every response is as expected.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

func main() {
	if err := run(); err != nil {
		log.Fatal("tenants: ", err)
	}
}

// routes returns the program's handler.
func routes(source Source, handle func(context.Context, *geminihook.Event) error) http.Handler {
	endpoint := &geminihook.Endpoint{Verifier: &verifier{source: source}, Key: tenantKey}
	hooks := endpoint.Handler(handle)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks/{tenant}", func(w http.ResponseWriter, r *http.Request) {
		ctx := withTenant(r.Context(), r.PathValue("tenant"))
		hooks.ServeHTTP(w, r.WithContext(ctx))
	})
	return mux
}

// memory is a Source in memory. See also database.
type memory map[string][]string

// Secrets implements [Source].
func (m memory) Secrets(_ context.Context, tenant string) ([]string, error) {
	secrets, ok := m[tenant]
	if !ok {
		return nil, ErrUnknownTenant
	}
	return secrets, nil
}

// run serves two tenants and delivers events to them.
func run() error {
	source := memory{"acme": {webhooktest.RandomSecret()}, "globex": {webhooktest.RandomSecret()}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		log.Printf("%s has an event: %s", tenantOf(ctx), ev.Type)
		return nil
	}
	server := &http.Server{ReadTimeout: 10 * time.Second, Handler: routes(source, handle)}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()

	acme, globex := webhooktest.Static(source["acme"][0]), webhooktest.Static(source["globex"][0])
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, acme)
	forged := genuine.Clone().Sign(time.Now(), globex) // with the same webhook-id
	for _, step := range []struct {
		name, tenant string
		delivery     *webhooktest.Delivery
		want         int
	}{
		{
			"globex signs acme's webhook-id and sends it to acme", "acme", forged,
			http.StatusBadRequest,
		},
		{"globex signs acme's webhook-id and sends it to itself", "globex", forged, http.StatusOK},
		{"acme's own event is still handled", "acme", genuine, http.StatusOK},
		{"a tenant that does not exist", "initech", genuine, http.StatusBadRequest},
	} {
		got, err := deliver("http://"+listener.Addr().String()+"/hooks/"+step.tenant, step.delivery)
		if err != nil {
			return err
		}
		log.Printf("%s: %d", step.name, got)
		if got != step.want {
			return fmt.Errorf("the response should be %d", step.want)
		}
	}
	return nil
}

// deliver sends a delivery once and returns the status of the response.
func deliver(url string, d *webhooktest.Delivery) (int, error) {
	req, err := d.ClientRequest(url)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

package main

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/geminihook/geminihook"
)

// receiver is one endpoint for static and dynamic webhooks.
type receiver struct {
	static   *rotating
	binding  *geminihook.Binding
	endpoint *geminihook.Endpoint
	byURL    *geminihook.Endpoint
	events   chan *geminihook.Event
}

func newReceiver(keys *geminihook.KeySet, binding *geminihook.Binding) *receiver {
	static := &rotating{}
	static.use(&geminihook.HMAC{}) // until a webhook is registered, it rejects
	return &receiver{
		static:  static,
		binding: binding,
		endpoint: &geminihook.Endpoint{
			Verifier:  geminihook.AnyOf(static, keys),
			Authorize: binding.Authorize,
		},
		byURL:  &geminihook.Endpoint{Verifier: keys},
		events: make(chan *geminihook.Event, 100),
	}
}

// routes has the endpoint, and beside it the other way to bind deliveries: a
// token in the URL of webhook_config.uris.
func (r *receiver) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/gemini", r.endpoint.Handler(r.handle))
	byURL := r.byURL.Handler(r.handle)
	mux.HandleFunc("/gemini/{token}", func(w http.ResponseWriter, req *http.Request) {
		if _, ok := r.binding.Check(req.PathValue("token")); !ok {
			http.NotFound(w, req)
			return
		}
		byURL.ServeHTTP(w, req)
	})
	return mux
}

func (r *receiver) handle(_ context.Context, ev *geminihook.Event) error {
	r.events <- ev
	return nil
}

// rotating is a verifier whose secrets change while the program runs.
type rotating struct {
	current atomic.Pointer[geminihook.HMAC]
}

func (r *rotating) use(h *geminihook.HMAC) { r.current.Store(h) }

// Verify implements geminihook.Verifier.
func (r *rotating) Verify(ctx context.Context, header http.Header, body []byte) (geminihook.Proof, error) {
	return r.current.Load().Verify(ctx, header, body)
}

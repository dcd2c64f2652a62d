package main

import (
	"context"
	"log/slog"
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
	quiet := slog.New(slog.DiscardHandler) // the program prints what arrives
	static := &rotating{}
	static.use(&geminihook.HMAC{}) // accepts nothing until a webhook is registered
	return &receiver{
		static:  static,
		binding: binding,
		endpoint: &geminihook.Endpoint{
			Verifier:  geminihook.AnyOf(static, keys),
			Authorize: binding.Authorize,
			Logger:    quiet,
		},
		byURL:  &geminihook.Endpoint{Verifier: keys, Logger: quiet},
		events: make(chan *geminihook.Event, 100),
	}
}

// routes returns the routes of the endpoint, and of a second endpoint that binds
// deliveries by a token in the URL instead of the metadata.
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

// Verify implements [geminihook.Verifier].
func (r *rotating) Verify(
	ctx context.Context, header http.Header, body []byte,
) (geminihook.Proof, error) {
	return r.current.Load().Verify(ctx, header, body)
}

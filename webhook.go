// Package geminihook receives Gemini API webhooks. It verifies that a delivery
// comes from Google, decodes it into a typed event, and calls the program's
// function once per event, however often the event is delivered.
//
// Start with [NewHMAC], which makes a verifier from the secret of a static
// webhook, and [Endpoint.Handler], which makes an [http.Handler] from a
// function:
//
//	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
//	...
//	endpoint := &geminihook.Endpoint{Verifier: verifier}
//	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		switch data := ev.Data.(type) {
//		case *geminihook.BatchSucceeded:
//			return fetchResults(ctx, data.ID)
//		}
//		return nil
//	}))
//
// To wrap an existing handler, use [Endpoint.Middleware]. To handle events in
// your own way, use [Endpoint.Receive], which verifies and decodes, and
// [Endpoint.Process], which calls a function once per event. For dynamic
// webhooks, verify with a [KeySet] and authorize with a [Binding].
//
// # What is promised
//
// Each event is handled at least once. At most one run of the function is active
// at a time, as long as it finishes within its lease. What the function writes
// in the store's own database through a [Transactor] happens exactly once. For
// any other effect, use [Event.ID] as an idempotency key.
//
// # How a delivery is handled
//
// [Endpoint] reads the body up to a limit, has its [Verifier] verify the
// signature over the raw bytes, decodes them with [ParseUnverified], and asks
// [Endpoint.Authorize] whether the event is meant for this program. Then it claims
// the event in its [Store], calls the function, and completes the event if the
// function returns nil, or releases it so that Google's next attempt runs it
// again. The [Outcome] becomes the HTTP response and a log line.
//
// # Which store
//
// Without a Store, events are remembered in memory, which is enough for a single
// instance that may forget them when it restarts. Instances that serve the same
// webhook must share a store. If the function writes to PostgreSQL or SQLite, the
// modules pgstore and sqlitestore commit those writes together with the mark that
// the event was handled. Otherwise, use the module redisstore.
//
// The wire format is Standard Webhooks 1.0.0 with the events of Google's page,
// ai.google.dev/gemini-api/docs/webhooks.
package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// The defaults of [Endpoint].
const (
	DefaultMaxBody      = 1 << 20            // bytes; an event has a few hundred
	DefaultReadTimeout  = 10 * time.Second   // for the body to arrive
	DefaultLease        = time.Minute        // for a run of the function
	DefaultKeep         = 7 * 24 * time.Hour // Google retries for 24 hours
	DefaultStoreTimeout = 3 * time.Second    // for one call to the store
)

// Endpoint receives deliveries. Without a Verifier it rejects everything; every
// other field may stay zero. Do not change or copy an Endpoint that is in use.
type Endpoint struct {
	// Verifier verifies deliveries: an HMAC for static webhooks, a KeySet for
	// dynamic ones, or AnyOf for both.
	Verifier Verifier

	// Store remembers which events were handled. Nil means a MemoryStore. If
	// it is also a Transactor, the function runs in its transaction.
	Store Store

	// Authorize decides whether a verified event is meant for this program:
	// the signature of a dynamic delivery proves only that it comes from
	// Google (see Binding). If it returns an error, the event is not claimed,
	// and the response is 503 if the error wraps ErrStore or ErrKeysUnavailable,
	// 200 if it is Permanent, and 403 otherwise. Nil accepts every event.
	Authorize func(ctx context.Context, ev *Event) error

	// Key returns the key of an event in the Store; see also ByJob. Events with
	// the same key are handled once. If the key is empty, the response is 503.
	// Nil means Proof.Scheme, a colon and Event.ID. If secrets of several tenants
	// are accepted, the key must include the tenant. If several endpoints share a
	// Store and each must handle every event, it must include the endpoint.
	Key func(ctx context.Context, ev *Event) string

	// MaxBody bounds the body, in bytes. Zero means DefaultMaxBody.
	MaxBody int64

	// ReadTimeout bounds the time in which the body must arrive, unless the
	// http.Server has a ReadTimeout. It cannot be enforced inside
	// http.TimeoutHandler or behind a middleware whose ResponseWriter has no
	// Unwrap method: set http.Server.ReadTimeout there. Zero means
	// DefaultReadTimeout.
	ReadTimeout time.Duration

	// StoreTimeout bounds each call to the Store. With a Transactor, it bounds
	// the commit; the transaction may wait for up to half of MaxRun to begin,
	// which leaves less for the function. Zero means DefaultStoreTimeout.
	StoreTimeout time.Duration

	// Lease is how long a claim holds: if the process dies during a run, the
	// event can run again once the lease has expired. Zero means DefaultLease.
	Lease time.Duration

	// MaxRun bounds one run of the function. To leave time for completing the
	// event, the function's context ends earlier: by a tenth of MaxRun, but at
	// most by 5 seconds. If MaxRun is longer than Lease, the lease is renewed
	// until MaxRun has passed; with a Store that is not a Renewer, claims hold
	// for MaxRun instead. Zero means Lease.
	MaxRun time.Duration

	// Keep is how long a handled event is remembered. It should exceed the 24
	// hours in which Google retries, and twice the Verifier's tolerance, during
	// which a delivery can be replayed. Less than twice DefaultTolerance makes
	// every response a 500. Zero means DefaultKeep.
	Keep time.Duration

	// Logger gets one line per request or event, with the texts of errors that
	// the program returned, but without a body or a secret. Nil means
	// slog.Default().
	Logger *slog.Logger

	// Observe is called once per request or event, for metrics, after the
	// response was sent and before the handler returns. Over HTTP/2, the
	// response does not end until then. Calls may be concurrent.
	Observe func(ctx context.Context, o Outcome)

	memory    MemoryStore // for a nil Store
	unlimited sync.Once   // logs that ReadTimeout cannot be enforced
}

// Handler returns an [http.Handler] that verifies and decodes each delivery and
// calls fn once per event. The context of fn carries the event (see
// [FromContext]) and the request's values and deadline. It does not end when the
// sender hangs up, but ends a little before [Endpoint.MaxRun] has passed.
//
// If fn returns nil, the event is completed and the response is 200. If fn
// returns an error, the event is released and the response is 500, so that
// Google's next attempt runs it again. A panic also releases the event, and
// continues to the server, which closes the connection without a response. If fn
// returns an error made by [Permanent], the event is completed and the response
// is 200. Handler panics if fn is nil.
func (e *Endpoint) Handler(fn func(ctx context.Context, ev *Event) error) http.Handler {
	if fn == nil {
		panic("geminihook: Handler: nil function")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.serve(w, r, fn, e.respond)
	})
}

// serve handles one request. It has send write the response and return its status.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, fn func(context.Context, *Event) error, send func(http.ResponseWriter, Outcome) int) {
	start, out := time.Now(), outcome(Failed, errPanic) // reported if something panics
	var ev *Event
	defer func() { // even if there is a panic, which continues
		if out.Err == errPanic {
			w.WriteHeader(out.Status) // net/http would send nothing, but aws-lambda-go's lambdaurl a 200
		}
		if id := r.Header.Get(headerID); validID(id) { // perhaps unverified
			out.ID = id
		}
		out.Event, out.Elapsed = ev, time.Since(start)
		e.report(r.Context(), out)
	}()
	ev, err := e.receive(w, r)
	if err != nil {
		out = refused(err)
	} else {
		out = e.once(r.Context(), ev, fn)
	}
	out.Status = send(w, out)
	if e.Observe != nil { // send the response now: Observe may take time
		_ = http.NewResponseController(w).Flush()
	}
}

// Process calls fn once per event. Unless the event was handled before or another
// run of it is in progress, it calls fn and then completes or releases the event,
// as [Endpoint.Handler] does. Use it for events that arrive in another way, such
// as from a queue. It neither verifies nor authorizes the event. It sets Attempt,
// so the same *Event must not be in two calls at once. If the event's key is empty,
// as the default key is if ID is empty, fn is not called and the Status is 503.
//
// The context of fn does not end when ctx is canceled, but keeps its deadline. If
// fn panics, the event is released and the panic continues. The Status of the
// Outcome is the one with which Handler would respond.
func (e *Endpoint) Process(ctx context.Context, ev *Event, fn func(ctx context.Context, ev *Event) error) (out Outcome) {
	start, out := time.Now(), outcome(Failed, errPanic) // reported if something panics
	defer func() {
		out.ID, out.Event, out.Elapsed = ev.ID, ev, time.Since(start)
		e.report(ctx, out)
	}()
	return e.once(ctx, ev, fn)
}

// Receive reads, verifies and decodes a delivery and asks [Endpoint.Authorize]
// whether the event is meant for this program. It neither claims the event nor
// responds; w serves only to limit the reading of the body, which is then in
// [Event.Raw]. Pass the event to [Endpoint.Process], or keep track of its ID
// yourself. On an error the event is nil; respond with [StatusCode].
func (e *Endpoint) Receive(w http.ResponseWriter, r *http.Request) (*Event, error) {
	ev, err := e.receive(w, r)
	if err != nil {
		ev = nil
	}
	return ev, err
}

// receive is Receive, but it also returns an event that Authorize refused.
func (e *Endpoint) receive(w http.ResponseWriter, r *http.Request) (*Event, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	done := e.limitRead(w, r) // first: net/http reads the rest of the body even after an error
	if r.Method != http.MethodPost {
		return nil, ErrMethod
	}
	var d delivery // parsed even if the Verifier ignores it: the id becomes part of the key
	if err := d.parse(r.Header); err != nil {
		return nil, err
	}
	body, err := e.readBody(w, r)
	if err != nil {
		return nil, err
	}
	done()
	proof, err := verify(r.Context(), e.Verifier, r.Header, body)
	if err != nil {
		return nil, err
	}
	ev, err := ParseUnverified(body)
	if err != nil {
		return nil, err
	}
	ev.ID, ev.SentAt, ev.Proof = d.id, time.Unix(d.sentAt, 0).UTC(), proof
	if e.Authorize != nil {
		if err := e.Authorize(r.Context(), ev); err != nil {
			return ev, fmt.Errorf("%w: %w", ErrForbidden, err)
		}
	}
	return ev, nil
}

// readBody reads the body into memory that grows with what arrives.
func (e *Endpoint) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := cmp.Or(e.MaxBody, DefaultMaxBody)
	if r.ContentLength > limit {
		return nil, ErrTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, cmp.Or[io.ReadCloser](r.Body, http.NoBody), limit))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, ErrTooLarge
	}
	if err != nil {
		return nil, refuse(ErrPayload, "the sender hung up or was too slow: "+err.Error())
	}
	if n := int64(len(body)); n < r.ContentLength || n == 0 {
		return nil, refuse(ErrPayload, fmt.Sprintf("%d of %d bytes are left: the request had no body, or something read the body before the endpoint, "+
			"for example a middleware that logs it: register the endpoint outside that middleware, or have it restore the body", n, max(r.ContentLength, 0)))
	}
	return body, nil
}

// limitRead sets a read deadline unless the server has one. The returned function
// clears the deadline: if it passed while the program's function ran, the server
// would treat the sender as disconnected.
func (e *Endpoint) limitRead(w http.ResponseWriter, r *http.Request) (done func()) {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	rc := http.NewResponseController(w)
	switch {
	case ok && server.ReadTimeout > 0:
	case rc.SetReadDeadline(time.Now().Add(cmp.Or(e.ReadTimeout, DefaultReadTimeout))) == nil:
		return func() { _ = rc.SetReadDeadline(time.Time{}) }
	case ok:
		e.unlimited.Do(func() { cmp.Or(e.Logger, slog.Default()).Warn(unlimitedText) })
	}
	return func() {}
}

const unlimitedText = "gemini webhook: ReadTimeout cannot be enforced, because a middleware's ResponseWriter has no Unwrap method: set http.Server.ReadTimeout"

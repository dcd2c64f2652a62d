// Package geminihook receives Gemini API webhooks: it proves that a delivery
// came from Google, decodes it into a typed event, and gives each event to the
// program's code once, however often it is delivered.
//
// Start with [NewHMAC] and [Endpoint.Handler]:
//
//	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
//	...
//	endpoint := &geminihook.Endpoint{Verifier: verifier}
//	http.Handle("/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		switch data := ev.Data.(type) {
//		case *geminihook.BatchSucceeded:
//			return fetch(ctx, data.ID)
//		}
//		return nil
//	}))
//
// [Endpoint.Middleware] wraps a handler that exists, and [Endpoint.Receive]
// only reads, verifies and decodes. Several instances, or a restart, need a
// shared [Store].
//
// # What is promised
//
// At least once always; at most one run at a time while a run stays within its
// lease; exactly once for what the function writes in the store's own database
// through a [Transactor]; for anything else pass [Event.ID] on as an
// idempotency key.
//
// # The way of a delivery
//
// Read (bounded), [Verifier], [ParseUnverified], Authorize, [Store].Claim, the
// program's function, Complete or Release, status code. The wire format is that
// of Standard Webhooks 1.0.0 with the events of Google's page
// (ai.google.dev/gemini-api/docs/webhooks).
package geminihook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// The defaults of Endpoint.
const (
	DefaultMaxBody      = 1 << 20            // bytes; events are some hundred
	DefaultReadTimeout  = 10 * time.Second   // for the body to arrive
	DefaultLease        = time.Minute        // for a run of the function
	DefaultKeep         = 7 * 24 * time.Hour // senders retry for 24 hours
	DefaultStoreTimeout = 3 * time.Second    // for a call of the store
)

// Endpoint receives deliveries. Without a Verifier it rejects everything; every
// other field may stay zero. Do not change it while it is in use, and do not
// copy it: make a pointer.
type Endpoint struct {
	// Verifier proves deliveries: an HMAC for static webhooks, a KeySet for
	// dynamic ones, AnyOf for both. Nil rejects everything.
	Verifier Verifier

	// Store remembers which events were handled. Nil means a MemoryStore of
	// the Endpoint's own, which is right for one instance that may forget when
	// it restarts. If it is a Transactor, the function runs in its
	// transaction.
	Store Store

	// Authorize says whether a verified event is meant for this program; nil
	// accepts all. An error answers 403, before any claim is made. A dynamic
	// delivery proves only that it is from Google, not whose job it is about.
	Authorize func(ctx context.Context, ev *Event) error

	// KeyPrefix is put before webhook-id in the store, so that several
	// endpoints can share one.
	KeyPrefix string

	// MaxBody bounds the body, in bytes; zero means DefaultMaxBody.
	MaxBody int64

	// ReadTimeout bounds the time in which the body must arrive where the
	// http.Server has no ReadTimeout of its own; zero means DefaultReadTimeout.
	ReadTimeout time.Duration

	// Lease bounds one run of the function, whose context ends a little before
	// it. When a process dies, another takes the event over after the lease.
	// Zero means DefaultLease.
	Lease time.Duration

	// Keep is how long a handled event is remembered. Less than the 24 hours
	// in which Google retries is too little. Zero means DefaultKeep.
	Keep time.Duration

	// StoreTimeout bounds each call of the store; zero means
	// DefaultStoreTimeout.
	StoreTimeout time.Duration

	// Logger gets one line a request: id, type, result, reason and the name of
	// the key that matched, never a body or a secret. Nil means none.
	Logger *slog.Logger

	// Observe is called once per request, after the answer, for metrics. It
	// may be called concurrently. Nil means none.
	Observe func(ctx context.Context, o Outcome)

	memory MemoryStore // for a nil Store
}

// Handler returns an http.Handler that verifies and decodes each delivery and
// calls fn once per event. The context of fn outlives the sender's connection,
// ends a little before the lease, and has the event for FromContext.
//
// If fn returns nil the event is done and the answer is 200. If it returns an
// error or panics, the event is released and the answer 500, so that the
// sender's next attempt runs it again; a panic goes on to the server. An error
// of Permanent is done, too. fn must not be nil.
func (e *Endpoint) Handler(fn func(ctx context.Context, ev *Event) error) http.Handler {
	if fn == nil {
		panic("geminihook: Handler: nil function")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.serve(w, r, fn, nil)
	})
}

// Receive reads, verifies and decodes a delivery: the building block for
// programs that keep track of events themselves. It neither claims nor
// authorizes nor replies; StatusCode says what to answer to its error. The
// event is nil if there is an error. It sets the ResponseWriter's read
// deadline as ReadTimeout says.
func (e *Endpoint) Receive(w http.ResponseWriter, r *http.Request) (*Event, error) {
	if r.Method != http.MethodPost {
		return nil, ErrMethod
	}
	body, err := e.read(w, r)
	if err != nil {
		return nil, err
	}
	if e.Verifier == nil {
		return nil, errNoVerifier
	}
	proof, err := e.Verifier.Verify(r.Context(), r.Header, body)
	if err != nil {
		if StatusCode(err) == http.StatusInternalServerError { // not an error of this package
			err = fmt.Errorf("%w: %w", ErrSignature, err)
		}
		return nil, err
	}
	var d delivery // whatever the Verifier looked at, the id must be fit to be a key
	if err := d.parse(r.Header); err != nil {
		return nil, err
	}
	ev, err := ParseUnverified(body)
	if err != nil {
		return nil, err
	}
	ev.ID, ev.SentAt, ev.Proof = d.id, time.Unix(d.sentAt, 0).UTC(), proof
	return ev, nil
}

const firstBuffer = 64 << 10 // what a stranger gets by only claiming a Content-Length

// read reads the body into a buffer of the size that Content-Length says; a
// larger one than firstBuffer is made when that much has come.
func (e *Endpoint) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := cmp.Or(e.MaxBody, DefaultMaxBody)
	if r.ContentLength > limit {
		return nil, ErrTooLarge
	}
	if r.Body == nil {
		return nil, nil
	}
	size := r.ContentLength
	if size < 0 {
		size = 4 << 10 // chunked
	}
	buf := make([]byte, 0, min(size, firstBuffer)+1) // one more, to see the end
	in := http.MaxBytesReader(w, r.Body, limit)
	done := e.limitRead(w, r)
	for {
		if len(buf) == cap(buf) {
			larger := max(size+1, 2*int64(cap(buf)))
			buf = append(make([]byte, 0, min(larger, limit+1)), buf...)
		}
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			done()
			return buf[:len(buf):len(buf)], nil
		}
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, ErrTooLarge
		}
		if err != nil {
			return nil, fmt.Errorf("%w: the sender hung up or was too slow: %w", ErrPayload, err)
		}
	}
}

// limitRead sets the read deadline if the server has none. The function that
// it returns takes it back, or the server would take the deadline that passes
// while the program's function runs for the sender's hanging up.
func (e *Endpoint) limitRead(w http.ResponseWriter, r *http.Request) (done func()) {
	if srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && srv.ReadTimeout > 0 {
		return func() {}
	}
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(cmp.Or(e.ReadTimeout, DefaultReadTimeout))) != nil {
		return func() {} // not a server's ResponseWriter
	}
	return func() { _ = rc.SetReadDeadline(time.Time{}) }
}

// serve takes one request all the way. A non-nil held is the reply of the
// handler behind Middleware.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, fn func(context.Context, *Event) error, held *heldReply) {
	start := time.Now()
	out := Outcome{Result: Failed, Status: http.StatusInternalServerError, Err: errPanic}
	var ev *Event
	defer func() { // also when fn panics, which goes on
		out.Elapsed, out.Event = time.Since(start), ev
		e.note(r, out)
	}()
	ev, err := e.Receive(w, r)
	if err == nil && e.Authorize != nil {
		if err = e.Authorize(r.Context(), ev); err != nil {
			err = fmt.Errorf("%w: %w", ErrForbidden, err)
		}
	}
	if err != nil {
		out = refused(err)
	} else {
		out = e.once(r.Context(), ev, fn)
	}
	out.reply(w, held)
}

// Middleware wraps a handler that exists. Each event reaches it once, with the
// event in the request's context (FromContext) and the body readable again; the
// request's context outlives the sender's connection, as in Handler. A 2xx of
// the handler completes the event; another status, which goes to the sender as
// it is, and a panic release it.
//
// The handler's reply is held back until the store has the result, so that no
// 2xx precedes a commit that fails: it cannot be flushed or hijacked.
func (e *Endpoint) Middleware(next http.Handler) http.Handler {
	if next == nil {
		panic("geminihook: Middleware: nil handler")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := &heldReply{header: make(http.Header)}
		e.serve(w, r, func(ctx context.Context, ev *Event) error {
			again := r.WithContext(ctx)
			again.Body = io.NopCloser(bytes.NewReader(ev.Raw))
			again.ContentLength = int64(len(ev.Raw))
			again.TransferEncoding = nil
			next.ServeHTTP(held, again)
			return held.err()
		}, held)
	})
}

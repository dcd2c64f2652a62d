package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// checkReceive returns an error if a field is missing or invalid.
func (e *Endpoint) checkReceive() error {
	if e.Verifier == nil {
		return errors.New("geminihook: Endpoint.Verifier is nil: " +
			"set an HMAC or a SecretFile for static webhooks, a KeySet for dynamic ones, or AnyOf")
	}
	return e.checkProcess()
}

// checkProcess is checkReceive without the fields that Process does not need.
func (e *Endpoint) checkProcess() error {
	const minKeep = 10 * time.Minute // twice the default tolerance
	switch {
	case e.Store != nil && e.Transactor != nil:
		return errors.New("geminihook: Endpoint.Store and Endpoint.Transactor are both set: set one of them")
	case e.MaxBody < 0 || min(e.ReadTimeout, e.RunTimeout, e.StoreTimeout, e.Lease, e.Keep) < 0:
		return errors.New("geminihook: Endpoint.MaxBody, ReadTimeout, RunTimeout, StoreTimeout, Lease or Keep is negative")
	case e.Keep != 0 && e.Keep < minKeep:
		return fmt.Errorf("geminihook: Endpoint.Keep is %v, less than %v: "+
			"a delivery could be replayed after its event was forgotten", e.Keep, minKeep)
	}
	return nil
}

// serve handles one request. It has send write the response and return its status.
func (e *Endpoint) serve(
	w http.ResponseWriter, r *http.Request,
	fn func(context.Context, *Event) error, send func(http.ResponseWriter, Outcome) int,
) {
	start := time.Now()
	out := outcome(Failed, errPanic) // is reported if anything below panics
	returned := false
	var ev *Event
	var body []byte
	defer func() { // also after a panic, which continues
		if !returned {
			// After a panic, net/http sends nothing, but other servers may: without
			// this, lambdaurl of aws-lambda-go would send a 200.
			w.WriteHeader(out.Status)
		}
		out.Event, out.Header, out.Body = ev, r.Header, body
		if ev != nil {
			out.ID = ev.ID
		} else {
			out.ID = deliveryID(r.Header)
		}
		out.Elapsed = time.Since(start)
		e.report(r.Context(), out)
	}()
	var err error
	ev, body, err = e.receive(w, r)
	if err != nil {
		out = refused(err)
	} else {
		out = e.once(r.Context(), ev, fn)
	}
	out.Status = send(w, out)
	returned = true
	if e.Observe != nil { // send the response now: Observe may take time
		_ = http.NewResponseController(w).Flush()
	}
}

// Process calls fn, unless the event was handled before or another run of it is in
// progress, and then completes or releases the event, as [Endpoint.Handler] does. Use
// it for events that arrive in another way, such as from a queue. It neither verifies
// nor authorizes the event, and needs no Verifier. It works on a copy of the event,
// which is the Event of the Outcome. If there is no key for the event, for example
// because its ID is empty, fn is not called and the Status is 503. If ev or fn is nil,
// or a field of the Endpoint is invalid, the Status is 500.
//
// The context of fn does not end when ctx is canceled, but keeps its deadline. If
// fn panics, the event is released and the panic continues. The Status of the
// Outcome is the one with which Handler would respond.
func (e *Endpoint) Process(
	ctx context.Context, ev *Event, fn func(ctx context.Context, ev *Event) error,
) (out Outcome) {
	start := time.Now()
	var copied Event
	if ev != nil {
		copied = *ev
	}
	out = outcome(Failed, errPanic) // is reported if anything below panics
	defer func() {
		out.Elapsed = time.Since(start)
		if ev != nil {
			out.ID, out.Event = copied.ID, &copied
		}
		e.report(ctx, out)
	}()
	if ev == nil || fn == nil {
		return refused(errors.New("geminihook: Process: the event or the function is nil"))
	}
	if err := e.checkProcess(); err != nil {
		return refused(err)
	}
	return e.once(ctx, &copied, fn)
}

// Receive reads, verifies and decodes a delivery and asks [Endpoint.Authorize]
// whether the event is meant for this program. It neither claims the event nor
// responds; w serves only to limit the reading of the body, which is then in
// [Event.Raw]. Pass the event to [Endpoint.Process], or keep track of its ID
// yourself. On an error the event is nil; respond with [StatusCode].
func (e *Endpoint) Receive(w http.ResponseWriter, r *http.Request) (*Event, error) {
	ev, _, err := e.receive(w, r)
	if err != nil {
		return nil, err
	}
	return ev, nil
}

// receive is Receive, but it also returns an event that Authorize refused, and the
// body if it was read completely.
func (e *Endpoint) receive(w http.ResponseWriter, r *http.Request) (*Event, []byte, error) {
	if err := e.checkReceive(); err != nil {
		return nil, nil, err
	}
	// This comes first, because net/http reads the rest of the body even after an error.
	clearDeadline := e.limitRead(w, r)
	if r.Method != http.MethodPost {
		return nil, nil, ErrMethod
	}
	var d delivery // parsed even if the Verifier ignores it: the id becomes part of the key
	if err := d.parse(r.Header); err != nil {
		return nil, nil, err
	}
	body, err := e.readBody(w, r)
	if err != nil {
		return nil, nil, err
	}
	clearDeadline()
	proof, err := verify(r.Context(), e.Verifier, r.Header, body)
	if err != nil {
		return nil, body, explainLength(err, int64(len(body)), r.ContentLength)
	}
	ev, err := ParseUnverified(body)
	if err != nil {
		return nil, body, err
	}
	ev.ID = strings.Clone(d.id) // a server may reuse the memory of the headers after the request
	ev.SentAt, ev.Proof = time.Unix(d.sentAt, 0).UTC(), proof
	return ev, body, e.authorize(r.Context(), ev)
}

// authorize calls Authorize. An error that does not say that the event is refused
// means that Authorize could not decide.
func (e *Endpoint) authorize(ctx context.Context, ev *Event) error {
	if e.Authorize == nil {
		return nil
	}
	err := e.Authorize(ctx, ev)
	if err == nil || errors.Is(err, ErrPermanent) || errors.Is(err, ErrForbidden) {
		return err
	}
	return fmt.Errorf("%w: Authorize failed: %w", ErrUnavailable, err)
}

// readBody reads the body into memory that grows with what arrives.
func (e *Endpoint) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := cmp.Or(e.MaxBody, 1<<20)
	if r.ContentLength > limit {
		return nil, ErrTooLarge
	}
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, ErrTooLarge
	}
	if err != nil {
		return nil, withReason(ErrPayload, "the sender hung up or was too slow: "+err.Error())
	}
	return body, nil
}

// explainLength extends the error of a verifier. If no signature matches and the body
// is empty or has another length than its Content-Length, the error says so. By
// itself, another length is no error: a middleware may have decompressed the body.
func explainLength(err error, read, announced int64) error {
	complete := read > 0 && (read == announced || announced < 0)
	if complete || !errors.Is(err, ErrSignature) {
		return err
	}
	length := "no Content-Length"
	if announced >= 0 {
		length = fmt.Sprintf("Content-Length %d", announced)
	}
	return fmt.Errorf("%w; the endpoint read %d bytes of a request with %s: something read or changed the body before "+
		"the endpoint, for example a middleware that logs it: register the endpoint outside that middleware, or have it "+
		"restore the body", err, read, length)
}

// limitRead sets a read deadline unless the server has one. The returned function
// clears the deadline: if it passed while the program's function ran, the server
// would treat the sender as disconnected.
func (e *Endpoint) limitRead(w http.ResponseWriter, r *http.Request) (clearDeadline func()) {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if ok && server.ReadTimeout > 0 {
		return func() {}
	}
	rc := http.NewResponseController(w)
	err := rc.SetReadDeadline(time.Now().Add(cmp.Or(e.ReadTimeout, 10*time.Second)))
	if err == nil {
		return func() { _ = rc.SetReadDeadline(time.Time{}) }
	}
	if ok {
		e.warnUnlimited.Do(func() { cmp.Or(e.Logger, slog.Default()).Warn(unlimitedText) })
	}
	return func() {}
}

const unlimitedText = "gemini webhook: ReadTimeout cannot be enforced, because a middleware's ResponseWriter has no Unwrap method: " +
	"set http.Server.ReadTimeout"

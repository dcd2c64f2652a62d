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
//	handle := func(ctx context.Context, ev *geminihook.Event) error {
//		switch data := ev.Data.(type) {
//		case *geminihook.BatchSucceeded:
//			return fetchResults(ctx, data.ID)
//		}
//		return nil
//	}
//	http.Handle("/gemini", endpoint.Handler(handle))
//
// To wrap an existing handler, use [Endpoint.Middleware]. To handle events in
// your own way, use [Endpoint.Receive], which verifies and decodes, and
// [Endpoint.Process], which calls a function once per event. For dynamic
// webhooks, verify with a [KeySet] and authorize with a [Binding].
//
// # What is promised
//
// Each event is handled at least once. At most one run of the function is active
// at a time, as long as the function returns when its context ends. What the
// function writes in the store's own database through a [Transactor] happens
// exactly once. For any other effect, use [Event.ID] as an idempotency key.
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
// webhook must share a store. If the function writes to an SQL database, set
// [Endpoint.Transactor]: the modules pgstore and sqlstore commit those writes
// together with the mark that the event was handled. Otherwise, set
// [Endpoint.Store], for example to the Store of the module redisstore.
//
// The wire format is Standard Webhooks 1.0.0 with the events of Google's page,
// ai.google.dev/gemini-api/docs/webhooks.
package geminihook

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Endpoint receives deliveries. Only the Verifier is required. Do not change or
// copy an Endpoint that is in use.
//
// [Endpoint.Handler] and [Endpoint.Middleware] panic if a field is invalid: if
// the Verifier is nil, Store and Transactor are both set, a duration or MaxBody is
// negative, or Keep is too short. [Endpoint.Receive] returns the same error, and the
// [Outcome] of [Endpoint.Process], which needs no Verifier, has it as its Err.
type Endpoint struct {
	// Verifier verifies deliveries: an HMAC or a SecretFile for static webhooks,
	// a KeySet for dynamic ones, or AnyOf for both.
	Verifier Verifier

	// Store remembers which events were handled. Nil means a MemoryStore that
	// belongs to the endpoint.
	Store Store

	// Transactor takes the place of the Store. The function runs inside its
	// transaction, so that what the function writes there is committed together
	// with the mark that the event was handled.
	Transactor Transactor

	// Authorize decides whether a verified event is meant for this program: the
	// signature of a dynamic delivery proves only that it comes from Google (see
	// Binding), and a static webhook reports every job of the project. Nil
	// accepts every event. Return
	//
	//	nil                                 // the event is for this program
	//	fmt.Errorf("...: %w", ErrForbidden) // a stranger's: 403
	//	Permanent(err)                      // genuine, but not for this program: 200
	//	err                                 // could not decide, such as a failed query: 503
	//
	// After an error the event is not claimed. With a Permanent error, the
	// Result is Ignored.
	Authorize func(ctx context.Context, ev *Event) error

	// Key returns the key of an event in the store; see also ByJob. Events with
	// the same key are handled once. After an error or an empty key, the
	// response is 503. Nil means Proof.Scheme, a colon and Event.ID. If secrets
	// of several tenants are accepted, the key must include the tenant. If
	// several endpoints share a store and each must handle every event, it must
	// include the endpoint.
	Key func(ctx context.Context, ev *Event) (string, error)

	// MaxBody bounds the body, in bytes. Zero means 1 MiB.
	MaxBody int64

	// ReadTimeout bounds the time in which the body must arrive, unless the
	// http.Server has a ReadTimeout. It cannot be enforced inside
	// http.TimeoutHandler or behind a middleware whose ResponseWriter has no
	// Unwrap method: set http.Server.ReadTimeout there. Zero means 10 seconds.
	ReadTimeout time.Duration

	// RunTimeout bounds one run of the function: its context ends after
	// RunTimeout. A transaction may also wait for up to RunTimeout to begin. Zero
	// means 1 minute.
	RunTimeout time.Duration

	// StoreTimeout bounds each call to the Store. It also bounds the end of a
	// transaction, after the function has returned. It does not bound renewals,
	// which may take until the lease expires. Zero means 3 seconds.
	StoreTimeout time.Duration

	// Lease is how long a claim holds. It is renewed at every third of Lease
	// while the function runs, however long RunTimeout is. If the process dies
	// during a run, the event can run again once the lease has expired. If the
	// lease could not be renewed before it expires, or another claim has taken
	// the key, the function's context ends with ErrLeaseLost as its cause. A
	// Transactor needs no lease. Zero means 30 seconds.
	Lease time.Duration

	// Keep is how long a handled event is remembered. It should exceed the 24
	// hours in which Google retries. It must be at least 10 minutes: a delivery
	// can be replayed for twice the tolerance, which is 5 minutes by default.
	// Zero means 7 days.
	Keep time.Duration

	// Logger gets one line per request or event, with the texts of errors that
	// the program returned, but without a body or a secret. Strangers can cause
	// requests without a verified event, and events that Authorize refuses or
	// ignores: for these, it gets at most 10 lines per second, and then one line
	// with the number of lines that were left out. Nil means slog.Default().
	Logger *slog.Logger

	// Observe is called once per request or event, for metrics and records,
	// after the response was sent and before the handler returns. Over HTTP/2,
	// the response does not end until then. Calls may be concurrent.
	Observe func(ctx context.Context, o Outcome)

	memory        MemoryStore // takes the place of a nil Store
	warnUnlimited sync.Once   // logs that ReadTimeout cannot be enforced
	lines         logLimit    // bounds the log lines that strangers can cause
}

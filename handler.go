package geminihook

import (
	"context"
	"net/http"
)

// Handler returns an [http.Handler] that verifies and decodes each delivery and
// calls fn once per event. The context of fn carries the event (see
// [FromContext]) and the request's values and deadline. It does not end when the
// sender hangs up, but ends after [Endpoint.RunTimeout]; [context.Cause] tells why
// it ended. fn must return when its context ends. If it has not returned 5 seconds
// later, that is logged, and another attempt may run beside it.
//
// If fn returns nil, the event is completed and the response is 200. If fn
// returns an error, the event is released and the response is 500, so that
// Google's next attempt runs it again. A panic also releases the event, and
// continues to the server, which closes the connection without a response. If fn
// returns an error made by [Permanent], the event is completed and the response
// is 200.
//
// Handler panics if fn is nil or a field of the Endpoint is invalid.
func (e *Endpoint) Handler(fn func(ctx context.Context, ev *Event) error) http.Handler {
	if fn == nil {
		panic("geminihook: Handler: the function is nil")
	}
	if err := e.checkReceive(); err != nil {
		panic(err.Error())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.serve(w, r, fn, e.respond)
	})
}

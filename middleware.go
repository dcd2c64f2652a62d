package geminihook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// maxReply bounds the reply that Middleware holds back, in bytes.
const maxReply = 1 << 20

// Middleware wraps an existing handler and calls it once per event, with the
// event in the request's context (see [FromContext]) and the body readable
// again. The request's context outlives the sender's connection, as it does in
// [Endpoint.Handler].
//
// A 2xx response of the handler completes the event. Any other status is sent as
// it is and releases the event, as a panic does, so that Google sends it again. If
// a framework turns returned errors into responses, it must do so inside next.
//
// The response is held back until the store has recorded the result, so that no
// 2xx is sent before a commit that may fail. Therefore the handler cannot flush,
// hijack or send trailers. Of a response that is longer than 1 MiB, only the status
// and the headers are sent.
//
// Middleware panics if next is nil or a field of the Endpoint is invalid.
func (e *Endpoint) Middleware(next http.Handler) http.Handler {
	fn, isFunc := next.(http.HandlerFunc)
	if next == nil || (isFunc && fn == nil) {
		panic("geminihook: Middleware: the handler is nil")
	}
	if err := e.checkReceive(); err != nil {
		panic(err.Error())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var reply *heldReply
		serveNext := func(ctx context.Context, ev *Event) error {
			reply = &heldReply{event: ev, header: w.Header().Clone()}
			inner := r.Clone(ctx)
			inner.Body = io.NopCloser(bytes.NewReader(ev.Raw)) // r.Body has been read
			inner.ContentLength = int64(len(ev.Raw))
			inner.TransferEncoding = nil
			next.ServeHTTP(reply, inner)
			return reply.result()
		}
		e.serve(w, r, serveNext, func(w http.ResponseWriter, o Outcome) int {
			_, otherStatus := errors.AsType[*statusError](o.Err)
			replied := o.Result == Processed || (o.Result == Failed && otherStatus)
			if !replied { // next was not called, or its reply must not be sent
				return e.respond(w, o)
			}
			if reply.tooLong {
				cmp.Or(e.Logger, slog.Default()).LogAttrs(r.Context(), slog.LevelWarn,
					tooLongText, eventAttrs(reply.event)...)
			}
			reply.send(w)
			return reply.status
		})
	})
}

var tooLongText = fmt.Sprintf(
	"gemini webhook: the handler's response is longer than %d bytes: it is sent without its body",
	maxReply)

// heldReply is the response of the handler behind Middleware.
type heldReply struct {
	event   *Event
	header  http.Header
	status  int
	written http.Header // a copy of header from when the status was written
	body    bytes.Buffer
	tooLong bool
}

// Header implements [http.ResponseWriter].
func (h *heldReply) Header() http.Header { return h.header }

// WriteHeader implements [http.ResponseWriter]. Only the first final status
// counts. Like net/http's, it panics if the status is not valid.
func (h *heldReply) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	informational := status < 200 && status != http.StatusSwitchingProtocols
	if informational || h.status != 0 {
		return
	}
	h.status, h.written = status, h.header.Clone()
}

// Write implements [http.ResponseWriter].
func (h *heldReply) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	if h.tooLong || h.body.Len()+len(b) > maxReply {
		h.tooLong, h.body = true, bytes.Buffer{}
		return len(b), nil
	}
	return h.body.Write(b)
}

// statusError is a response other than 2xx.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("geminihook: the handler responded with %d %s",
		e.status, http.StatusText(e.status))
}

// result returns nil if the handler succeeded, or the error for which the event is
// released.
func (h *heldReply) result() error {
	h.WriteHeader(http.StatusOK) // as net/http does for a handler that wrote nothing
	if h.status < 200 || h.status > 299 {
		return &statusError{status: h.status}
	}
	return nil
}

// send writes the held response.
func (h *heldReply) send(w http.ResponseWriter) {
	clear(w.Header()) // the handler may have deleted some of its copy
	maps.Copy(w.Header(), h.written)
	maps.DeleteFunc(w.Header(), func(name string, _ []string) bool {
		// Trailers are never sent, and a body that is left out has no encoding.
		isTrailer := name == "Trailer" || strings.HasPrefix(name, http.TrailerPrefix)
		return isTrailer || (h.tooLong && name == "Content-Encoding")
	})
	if h.status != http.StatusNoContent && h.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(h.body.Len()))
	}
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes()) // the sender may have hung up; it will try again
}

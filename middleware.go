package geminihook

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
)

// heldReply is the reply of the handler behind Middleware, held back until the
// store has the result.
type heldReply struct {
	header http.Header
	status int
	sent   http.Header // the header as it was when the status was written
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (h *heldReply) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter. Only the first final status
// counts.
func (h *heldReply) WriteHeader(status int) {
	if status < 200 || h.status != 0 {
		return
	}
	h.status, h.sent = status, h.header.Clone()
}

// Write implements http.ResponseWriter.
func (h *heldReply) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}

// statusError is a handler's answer other than 2xx.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("geminihook: the handler answered %d %s", e.status, http.StatusText(e.status))
}

// err is nil if the handler succeeded.
func (h *heldReply) err() error {
	h.WriteHeader(http.StatusOK) // what net/http does for a handler that wrote nothing
	if h.status >= 200 && h.status <= 299 {
		return nil
	}
	return &statusError{h.status}
}

// writeTo sends the reply and returns its status.
func (h *heldReply) writeTo(w http.ResponseWriter) int {
	maps.Copy(w.Header(), h.sent)
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes()) // the sender may be gone; its next attempt gets an answer
	return h.status
}

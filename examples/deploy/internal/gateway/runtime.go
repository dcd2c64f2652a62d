package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Runtime is the Runtime API of one execution environment. A process whose
// AWS_LAMBDA_RUNTIME_API is [Runtime.Address] gets the events of [Runtime.Invoke].
type Runtime struct {
	server *httptest.Server
	queue  chan invocation

	mu      sync.Mutex
	last    int
	pending map[string]chan<- result
}

type invocation struct {
	id      string
	payload []byte
}

type result struct {
	response []byte
	err      error
}

// NewRuntime starts a [Runtime].
func NewRuntime() *Runtime {
	r := &Runtime{queue: make(chan invocation), pending: map[string]chan<- result{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", r.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{kind}", r.end)
	r.server = httptest.NewServer(mux)
	return r
}

// Address returns the host and port.
func (r *Runtime) Address() string { return strings.TrimPrefix(r.server.URL, "http://") }

// Close shuts down the server.
func (r *Runtime) Close() {
	r.server.CloseClientConnections()
	r.server.Close()
}

// Invoke passes an event to the process and waits for its response.
func (r *Runtime) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	results := make(chan result, 1)
	r.mu.Lock()
	r.last++
	id := strconv.Itoa(r.last)
	r.pending[id] = results
	r.mu.Unlock()
	select {
	case r.queue <- invocation{id, event}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case got := <-results:
		return got.response, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next has the process wait for an event.
func (r *Runtime) next(w http.ResponseWriter, req *http.Request) {
	select {
	case next := <-r.queue:
		deadline := time.Now().Add(timeout)
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", next.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(deadline.UnixMilli(), 10))
		_, _ = w.Write(next.payload) // the process may be gone
	case <-req.Context().Done():
	}
}

// end receives a response or an error. A response that is cut off counts as far as
// it has arrived, because Amazon passes on a stream as it arrives.
func (r *Runtime) end(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(req.Body)
	got := result{response: b}
	if req.PathValue("kind") == "error" {
		got = result{err: errors.New(string(b))}
	}
	r.mu.Lock()
	results := r.pending[req.PathValue("id")]
	delete(r.pending, req.PathValue("id"))
	r.mu.Unlock()
	if results == nil {
		http.NotFound(w, req)
		return
	}
	results <- got
	w.WriteHeader(http.StatusAccepted)
}

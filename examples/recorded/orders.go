// Package recorded shows how to record deliveries, and how to test a handler with
// recorded ones.
package recorded

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
)

// Orders keeps the results of jobs.
type Orders struct {
	mu      sync.Mutex
	Results map[string]string // by the id of the job; guarded by mu
}

// Handler returns the handler of an endpoint that records, in the folder dir, what it
// rejects and the events on which Handle fails.
func (o *Orders) Handler(verifier geminihook.Verifier, dir string) http.Handler {
	recorder := &record.Recorder{Dir: dir}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Observe: recorder.Observe}
	return endpoint.Handler(o.Handle)
}

// Handle is the function that the program passes to
// [geminihook.Endpoint.Handler]. It returns a permanent error for an event whose
// data does not fit its type, because another delivery would not fit either.
func (o *Orders) Handle(_ context.Context, ev *geminihook.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch data := ev.Data.(type) {
	case *geminihook.BatchSucceeded:
		o.Results[data.ID] = data.OutputFileURI
	case *geminihook.BatchFailed:
		o.Results[data.ID] = fmt.Sprintf("failed: %s (%s)", data.ErrorMessage, data.ErrorCode)
	case *geminihook.Unknown:
		if data.Err != nil { // a known type with data of an unknown form
			return geminihook.Permanent(data.Err)
		}
	}
	return nil
}

// Package recorded shows how to record deliveries, and how to test a handler with
// recorded ones.
package recorded

import (
	"context"
	"fmt"
	"net/http"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
)

// Orders keeps the results of jobs.
type Orders struct {
	Results map[string]string // by the id of the job
}

// Handler returns the handler of an endpoint that records what it rejects and what
// Handle fails at, in the folder dir.
func (o *Orders) Handler(verifier geminihook.Verifier, dir string) http.Handler {
	recorder := &record.Recorder{Dir: dir}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Observe: recorder.Observe}
	return endpoint.Handler(o.Handle)
}

// Handle is the function that the program passes to
// [geminihook.Endpoint.Handler]. It returns a permanent error for an event whose
// data does not fit its type, because another delivery would not fit either.
func (o *Orders) Handle(_ context.Context, ev *geminihook.Event) error {
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

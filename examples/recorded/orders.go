// Package recorded is a part of a program, for its unit test: a handler that is
// tested against recorded payloads.
package recorded

import (
	"context"
	"fmt"

	"github.com/geminihook/geminihook"
)

// Orders notes what became of the jobs of orders.
type Orders struct {
	Results map[string]string // by the job's id
}

// Handle is the function that the program gives to Endpoint.Handler.
func (o *Orders) Handle(_ context.Context, ev *geminihook.Event) error {
	switch data := ev.Data.(type) {
	case *geminihook.BatchSucceeded:
		o.Results[data.ID] = data.OutputFileURI
	case *geminihook.BatchFailed:
		o.Results[data.ID] = fmt.Sprintf("failed: %s (%s)", data.ErrorMessage, data.ErrorCode)
	case *geminihook.Unknown:
		if data.Err != nil { // a type that we use, in a form that we do not know
			return geminihook.Permanent(data.Err)
		}
	}
	return nil
}

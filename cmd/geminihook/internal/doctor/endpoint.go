package doctor

import (
	"context"
	"sync"
	"time"
)

// EventType is the type of the events that [Endpoint] delivers. No program has a
// use for it.
const EventType = "geminihook.doctor"

// Endpoint is an acceptance test of a deployed endpoint. It delivers genuine and
// forged events to it and compares the responses with those of this library.
type Endpoint struct {
	URL     string
	Secrets []string         // valid secrets; the first one signs
	Timeout time.Duration    // for one request; zero means 10 seconds
	Now     func() time.Time // measures how long a response takes; nil means time.Now

	mu     sync.Mutex
	leaked string // the name of the first check whose response revealed something
}

// Check makes all checks, and calls report after each of them.
func (e *Endpoint) Check(ctx context.Context, report func(Result)) {
	if len(e.Secrets) == 0 {
		report(warning("endpoint", "not checked, because that needs the endpoint's secret", "Configure the secret."))
		return
	}
	genuine, reached, accepted := e.genuine(ctx)
	report(genuine)
	if !reached || ctx.Err() != nil {
		return
	}
	if accepted {
		e.accepted(ctx, report)
	} else {
		report(warning("duplicate", "not checked, because no delivery is accepted", "First fix what is above."))
	}
	for _, r := range refusals {
		if ctx.Err() != nil {
			return
		}
		report(e.refuses(ctx, r))
	}
	report(e.oversized(ctx))
	report(e.get(ctx))
	report(e.silent())
}

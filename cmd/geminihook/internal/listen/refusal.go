package listen

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Refusal is a delivery that was not accepted.
type Refusal struct {
	Header http.Header
	Body   []byte
	At     time.Time // when it arrived
	Err    error     // of [geminihook.Endpoint.Receive]
}

// explain returns the reasons for a refusal. It returns false if another one is being
// explained.
func (rc *receiver) explain(ctx context.Context, r Refusal) (reasons []string, done bool) {
	if rc.cfg.Explain == nil {
		return []string{r.Err.Error()}, true
	}
	select {
	case rc.explaining <- struct{}{}:
		defer func() { <-rc.explaining }()
		return rc.cfg.Explain(ctx, r), true
	default:
		return []string{strings.ReplaceAll(r.Err.Error(), "geminihook: ", "")}, false
	}
}

// explainLater explains the refusal of a group that could not be explained when it
// arrived. It waits until no other one is being explained.
func (rc *receiver) explainLater(ctx context.Context, number int64) {
	var r Refusal
	var cursor int64
	rc.store.with(number, func(g *group) {
		if last := g.last(); g.unexplained != nil {
			r = Refusal{Header: last.header, Body: last.body, At: last.at, Err: g.unexplained}
			cursor = last.cursor
		}
	})
	if r.Err == nil {
		return
	}
	select {
	case rc.explaining <- struct{}{}:
		defer func() { <-rc.explaining }()
	case <-ctx.Done():
		return
	}
	rc.store.explained(number, cursor, rc.cfg.Explain(ctx, r))
}

package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// maxRows is how many deliveries may be listed attempt by attempt. With more of them,
// the attempts are counted.
const maxRows = 20

// progress shows each attempt in a row when it ends, or counts the attempts if
// there are many. For scripts, it writes a line of JSON per attempt.
type progress struct {
	env   *env
	json  bool
	err   error             // the first error of writing
	types map[string]string // the event types, by webhook-id
	many  bool              // whether to count the attempts instead of listing them
	acked map[string]bool   // the webhook-ids that were acknowledged
	tries int               // the number of attempts
	shown time.Time         // when the count was last shown
}

// attemptLine is an attempt in the output for scripts.
type attemptLine struct {
	ID        string  `json:"id"`
	Type      string  `json:"type"`
	Try       int     `json:"try"`
	Duplicate bool    `json:"duplicate"`
	Status    int     `json:"status"`
	Elapsed   float64 `json:"elapsed_ms"`
	Error     string  `json:"error,omitempty"`
}

func newProgress(e *env, deliveries []*webhooktest.Delivery, asJSON bool) *progress {
	p := &progress{
		env: e, json: asJSON, types: map[string]string{}, acked: map[string]bool{},
		many: len(deliveries) > maxRows,
	}
	for _, d := range deliveries {
		p.types[d.ID()] = "-"
		if ev, err := geminihook.ParseUnverified(d.Body); err == nil && ev.Type != "" {
			p.types[d.ID()] = string(ev.Type)
		}
	}
	if !p.many && !p.json {
		fmt.Fprintf(e.out, "%-14s  %-27s  %3s  %-22s  %6s\n", "ID", "TYPE", "TRY", "RESPONSE", "TIME")
	}
	return p
}

// attempt shows an attempt that has ended. It must not be called concurrently.
func (p *progress) attempt(a webhooktest.Attempt) {
	p.tries++
	if a.Acknowledged() {
		p.acked[a.ID] = true
	}
	switch {
	case p.json:
		p.attemptJSON(a)
	case p.many:
		p.count()
	default:
		p.row(a)
	}
}

// attemptJSON writes a line of JSON for an attempt.
func (p *progress) attemptJSON(a webhooktest.Attempt) {
	line := attemptLine{
		ID:        a.ID,
		Type:      p.types[a.ID],
		Try:       a.Number,
		Duplicate: a.Duplicate,
		Status:    a.Status,
		Elapsed:   float64(a.Elapsed.Microseconds()) / 1000,
	}
	if a.Err != nil {
		line.Error = plain(a.Err)
	}
	p.err = cmp.Or(p.err, p.env.line(line))
}

// count shows how many deliveries were acknowledged, in place of what it showed
// before: at most ten times per second, and at the end.
func (p *progress) count() {
	acked, all := len(p.acked), len(p.types)
	if !terminal(p.env.out) || (time.Since(p.shown) <= 100*time.Millisecond && acked < all) {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.env.out, "\r%d of %d acknowledged, attempts: %d\x1b[K", acked, all, p.tries)
}

// row shows an attempt in a row of the table.
func (p *progress) row(a webhooktest.Attempt) {
	color := red
	if a.Acknowledged() {
		color = green
	}
	try := fmt.Sprint(a.Number)
	if a.Duplicate {
		try += "+"
	}
	id, typ := cut(visible(a.ID), 14), cut(visible(p.types[a.ID]), 27)
	text := fmt.Sprintf("%-22s", cut(response(a), 22))
	fmt.Fprintf(p.env.out, "%-14s  %-27s  %3s  %s  %6s\n", id, typ, try,
		p.env.paint(color, text), round(a.Elapsed))
	if a.Err != nil {
		fmt.Fprint(p.env.err, wrap(plain(a.Err), "  "))
	}
}

func response(a webhooktest.Attempt) string {
	if a.Status == 0 {
		return "no response"
	}
	return fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
}

// summary shows how many deliveries were acknowledged and how often each
// response came.
func (p *progress) summary(r webhooktest.Report) {
	if p.json {
		return
	}
	if p.many && terminal(p.env.out) {
		fmt.Fprintln(p.env.out)
	}
	counts := map[string]int{}
	var times []time.Duration
	for _, a := range r.Attempts {
		counts[response(a)]++
		times = append(times, a.Elapsed)
	}
	slices.Sort(times)
	fmt.Fprintf(p.env.out, "\n%d of %d acknowledged", len(r.Delivered),
		len(r.Delivered)+len(r.Lost))
	if len(times) > 0 {
		fmt.Fprintf(p.env.out, ", attempts: %d, median %s", len(times), round(times[len(times)/2]))
	}
	fmt.Fprintln(p.env.out)
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(p.env.out, "%7d x %s\n", counts[text], text)
	}
}

// asExpected reports whether all deliveries were acknowledged or, if they were
// made bad, refused.
func (p *progress) asExpected(r webhooktest.Report, bad bool) bool {
	if !bad {
		return len(r.Lost) == 0
	}
	return !slices.ContainsFunc(r.Attempts, func(a webhooktest.Attempt) bool {
		return !refused(a.Status)
	})
}

// refused reports whether a receiver refused a delivery with this status. A 404
// or a 405 rather means that the URL is wrong, and proves nothing.
func refused(status int) bool {
	return status >= 400 && status <= 499 && status != http.StatusNotFound &&
		status != http.StatusMethodNotAllowed
}

// round leaves three or four significant digits.
func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

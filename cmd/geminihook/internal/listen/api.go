package listen

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

const (
	defaultWait = 30 * time.Second
	maxWait     = 5 * time.Minute
	maxQuery    = 200       // bytes of a search
	maxCommand  = 4 << 10   // bytes of the body of a request to the page
	maxSent     = 512 << 10 // if it has an event in it, as a JSON string
)

// list responds with the groups, newest first.
func (p *page) list(w http.ResponseWriter, r *http.Request) {
	match := matching(r)
	found := []summary{}
	p.receiver.store.find(func(g *group) bool {
		if match(g) {
			found = append(found, g.summary())
		}
		return false
	})
	respond(w, http.StatusOK, found)
}

// matching returns the filter that the query describes: type, id, job, and
// verified are exact, after is a cursor, and q is a text in any of these or in
// the body.
func matching(r *http.Request) func(*group) bool {
	q := r.URL.Query()
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	text := strings.ToLower(q.Get("q"))
	text = text[:min(len(text), maxQuery)]
	is := func(name, value string) bool { return !q.Has(name) || q.Get(name) == value }
	return func(g *group) bool {
		return g.last().cursor > after && is("type", g.typ) && is("id", g.id) && is("job", g.job) &&
			is("verified", strconv.FormatBool(g.genuine)) && (text == "" || g.contains(text))
	}
}

// contains reports whether a text in lower case is in the group.
func (g *group) contains(text string) bool {
	for _, s := range append([]string{g.id, g.typ, g.job, string(g.last().body)}, g.reasons...) {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}

// latest responds with the newest genuine delivery. The type of any other is
// only a stranger's claim.
func (p *page) latest(w http.ResponseWriter, r *http.Request) {
	d, _ := p.newest(matching(r), false)
	if d == nil {
		fail(w, http.StatusNotFound, "no such delivery")
		return
	}
	respond(w, http.StatusOK, d)
}

// newest returns the newest genuine delivery that matches and, if asked, has
// had its response, and a channel that is closed at the next change.
func (p *page) newest(match func(*group) bool, settled bool) (d *detail, changed <-chan struct{}) {
	changed = p.receiver.store.find(func(g *group) bool {
		if g.genuine && match(g) && !(settled && g.pending()) {
			d = g.detail()
		}
		return d != nil
	})
	return d, changed
}

// wait responds with the newest genuine delivery as soon as there is one that
// has had its response.
func (p *page) wait(w http.ResponseWriter, r *http.Request) {
	limit := defaultWait
	if text := r.URL.Query().Get("timeout"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil || limit < 0 || limit > maxWait {
			fail(w, http.StatusBadRequest,
				"timeout must be a duration such as 30s, and at most "+maxWait.String())
			return
		}
	}
	if !p.enter() {
		fail(w, http.StatusServiceUnavailable, "too many requests are waiting")
		return
	}
	defer p.leave()
	rc := http.NewResponseController(w)
	// Without this, the context would end at the deadline as if the client had gone.
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Now().Add(limit + 10*time.Second))
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	match := matching(r)
	for {
		d, changed := p.newest(match, true)
		if d != nil {
			respond(w, http.StatusOK, d)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			fail(w, http.StatusGatewayTimeout,
				"no such delivery has arrived within "+limit.String())
			return
		case <-p.ctx.Done():
			fail(w, http.StatusServiceUnavailable, "the command has ended")
			return
		}
	}
}

// one responds with everything about a delivery.
func (p *page) one(w http.ResponseWriter, r *http.Request) {
	p.receiver.explainLater(r.Context(), number(r))
	var d *detail
	p.receiver.store.with(number(r), func(g *group) { d = g.detail() })
	if d == nil {
		fail(w, http.StatusNotFound, "no such delivery")
		return
	}
	respond(w, http.StatusOK, d)
}

// copy responds with a delivery in another form, as plain text.
func (p *page) copy(w http.ResponseWriter, r *http.Request) {
	var a *attempt
	var name string
	p.receiver.store.with(number(r), func(g *group) {
		a = g.attempt(r.URL.Query().Get("attempt"))
		name = fileName(g.last().at, g.typ, g.id)
	})
	if a == nil {
		fail(w, http.StatusNotFound, "no such delivery")
		return
	}
	target := p.receiveURL
	if f := p.receiver.forward; f != nil {
		target = f.target.String()
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	d := essential(a)
	switch r.PathValue("form") {
	case "http":
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		_ = d.Write(w) // the browser may have gone
	case "curl":
		_, _ = w.Write([]byte(asCurl(d, target)))
	case "go":
		_, _ = w.Write([]byte(asGoTest(d)))
	default:
		fail(w, http.StatusNotFound, "no such form")
	}
}

// replay sends a delivery to the local program again.
func (p *page) replay(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Mode    string `json:"mode"`    // "same" or "fresh"
		Attempt int64  `json:"attempt"` // a cursor; 0 means the latest
	}
	if !command(w, r, &ask) {
		return
	}
	res, err := p.receiver.replay(number(r), ask.Mode, strconv.FormatInt(ask.Attempt, 10))
	if err != nil {
		fail(w, http.StatusConflict, err.Error())
		return
	}
	respond(w, http.StatusOK, map[string]any{
		"status":     res.status,
		"note":       res.note,
		"elapsed_ms": ms(res.elapsed),
	})
}

// example responds with the body of an event of a type, to be edited.
func (p *page) example(w http.ResponseWriter, r *http.Request) {
	d := webhooktest.New(geminihook.EventType(r.URL.Query().Get("type")))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, indent(d.Body, "", "  ")) // the browser may have gone
}

// sendTest sends an event that was made on the page to the local program.
func (p *page) sendTest(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Body string `json:"body"`
	}
	if !commandOf(w, r, &ask, maxSent) {
		return
	}
	number, res, err := p.receiver.sendTest(r.Context(), []byte(ask.Body))
	if err != nil {
		fail(w, http.StatusConflict, err.Error())
		return
	}
	respond(w, http.StatusOK, map[string]any{
		"number": number, "status": res.status, "note": res.note, "elapsed_ms": ms(res.elapsed),
	})
}

func (p *page) setFault(w http.ResponseWriter, r *http.Request) {
	var f fault
	if !command(w, r, &f) {
		return
	}
	if err := f.check(); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	p.receiver.faults.set(f)
	p.receiver.store.notify()
	respond(w, http.StatusOK, f)
}

func (p *page) clear(w http.ResponseWriter, r *http.Request) {
	if !command(w, r, &struct{}{}) {
		return
	}
	p.receiver.store.clear()
	respond(w, http.StatusOK, struct{}{})
}

func number(r *http.Request) int64 {
	n, _ := strconv.ParseInt(r.PathValue("number"), 10, 64) // no group has the number 0
	return n
}

// command decodes the body of a request that changes something.
func command(w http.ResponseWriter, r *http.Request, into any) bool {
	return commandOf(w, r, into, maxCommand)
}

// commandOf is [command] with a bound on the body in bytes.
func commandOf(w http.ResponseWriter, r *http.Request, into any, limit int64) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	dec.DisallowUnknownFields()
	if dec.Decode(into) != nil {
		fail(w, http.StatusBadRequest, "the body is not the JSON object that is expected")
		return false
	}
	return true
}

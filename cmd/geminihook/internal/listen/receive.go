package listen

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	maxBodies      = 64 // bodies that are read at once, of requests with the headers of a delivery
	maxOtherBodies = 8  // of others
	maxRequests    = 64 // genuine deliveries and replays that are handled at once
)

// Notice tells what became of a request or a replay. Its Verdict is "genuine", "not
// accepted", or "probe" for a request that is not a POST.
type Notice struct {
	At        time.Time `json:"at"`
	Status    int       `json:"status"`
	Verdict   string    `json:"verdict"`
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Attempt   int       `json:"attempt"` // counts the deliveries with this id
	Duplicate bool      `json:"duplicate"`
	Replay    string    `json:"replay,omitempty"`  // "same", "fresh", or "test"
	Reasons   []string  `json:"reasons,omitempty"` // why it was not accepted
	Note      string    `json:"note,omitempty"`    // what the status alone does not tell
}

// receiver handles the requests that the tunnel brings.
type receiver struct {
	ctx        context.Context // ends with the listener
	cfg        Config
	store      *store
	files      *files
	faults     *faults
	forward    *forwarder // nil responds with 200
	endpoint   *geminihook.Endpoint
	form       *geminihook.HMAC // for the headers alone: its secret verifies nothing
	bodies     slots
	others     slots // bodies that cannot be those of genuine deliveries
	handling   chan struct{}
	explaining chan struct{}
	noticing   sync.Mutex
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost { // browsers and monitors, which are no deliveries
		rc.store.probe()
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "this URL receives webhooks, which are POST requests",
			http.StatusMethodNotAllowed)
		rc.notice(Notice{Status: http.StatusMethodNotAllowed, Verdict: "probe"})
		return
	}
	a := &attempt{
		path: r.URL.EscapedPath(), header: r.Header.Clone(), source: sourceOf(r),
		began: time.Now(),
	}
	rc.read(w, r, a)
	ev, err := rc.endpoint.Receive(w, r)
	if err != nil {
		rc.refuse(w, r, a, err)
		return
	}
	// When the deadline passes, the context ends as if the sender had gone.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if !rc.enter() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	defer rc.leave()
	rc.accept(w, r, a, ev)
}

// enter lets a genuine delivery or a replay be handled, and reports false if too many
// are.
func (rc *receiver) enter() bool {
	select {
	case rc.handling <- struct{}{}:
		return true
	default:
		return false
	}
}

func (rc *receiver) leave() { <-rc.handling }

// pool returns the slots for the body of a request with these headers. Those with which
// no delivery is genuine, because they are missing or too old, have few.
func (rc *receiver) pool(header http.Header) *slots {
	_, err := rc.form.Verify(rc.ctx, header, nil)
	if errors.Is(err, geminihook.ErrHeader) || errors.Is(err, geminihook.ErrTimestamp) {
		return &rc.others
	}
	return &rc.bodies
}

// maxBody is the default of geminihook.Endpoint.
const maxBody = 1 << 20

// read keeps the body, and replaces the request's by one that gives the same
// bytes and the same error. The endpoint does not read the body of a request
// whose headers it refuses, but the page shows it.
func (rc *receiver) read(w http.ResponseWriter, r *http.Request, a *attempt) {
	if r.ContentLength > maxBody {
		a.cutOff = true
		return
	}
	pool, control := rc.pool(r.Header), http.NewResponseController(w)
	own := pool.enter(a.source, func() { _ = control.SetReadDeadline(time.Unix(0, 0)) })
	var err error
	a.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	pool.leave(own)
	if err == nil {
		err = io.EOF
	} else {
		// A clone, so that the rest does not stay in memory.
		a.cutOff, a.body = true, bytes.Clone(a.body[:min(len(a.body), 4<<10)])
	}
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(a.body), failing{err}))
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// refuse keeps a delivery that was not accepted apart, and responds as an
// endpoint does. The local program never sees it.
func (rc *receiver) refuse(w http.ResponseWriter, r *http.Request, a *attempt, err error) {
	id := a.header.Get("Webhook-Id")
	g := &group{key: id, id: claim(id)}
	reasons, done := rc.explain(r.Context(), Refusal{
		Header: a.header, Body: a.body, At: time.Now(), Err: err,
	})
	if g.reasons = reasons; !done {
		g.unexplained = err
	}
	if ev, parseErr := geminihook.ParseUnverified(a.body); parseErr == nil {
		g.typ, g.job = claim(string(ev.Type)), claim(ev.JobID())
	}
	if g.key == "" {
		g.key = "\x00" + rand.Text() // a group apart, which no header can name
	}
	g = rc.store.begin(g, a)
	if fileErr := rc.files.refused(g, a); fileErr != nil {
		rc.problem(fileErr)
	}
	rc.end(w, g, a, result{status: geminihook.StatusCode(err), elapsed: time.Since(a.began)})
}

// accept keeps a genuine delivery, writes it to a file, forwards it, and
// responds with the status of the local program.
func (rc *receiver) accept(
	w http.ResponseWriter, r *http.Request, a *attempt, ev *geminihook.Event,
) {
	fault := rc.faults.take()
	a.fault = fault.Mode
	g := rc.store.begin(&group{
		key: ev.Proof.Scheme + ":" + ev.ID, id: ev.ID, typ: claim(string(ev.Type)),
		job: claim(ev.JobID()), genuine: true, proof: ev.Proof,
	}, a)
	if fault.Mode != "" {
		rc.store.notify() // one less is left
	}
	start := time.Now()
	res := result{status: http.StatusOK}
	switch err := rc.files.genuine(g, a, ev); {
	case err != nil: // Google sends it again
		rc.problem(err)
		res = result{status: http.StatusInternalServerError, note: "The delivery was not forwarded, because its file could not be written."}
	case fault.status() != 0:
		res = result{status: fault.status(), note: "The page asked for this response. The delivery was not forwarded."}
	case rc.forward != nil:
		res = rc.forward.send(rc.ctx, a.header, a.body)
	}
	if fault.Mode == faultSlow {
		res.note = strings.TrimSpace(res.note + " " + rc.delay(r.Context(), fault.delay()))
	}
	res.elapsed = time.Since(start)
	rc.end(w, g, a, res)
}

// delay waits as the page asked.
func (rc *receiver) delay(sender context.Context, d time.Duration) string {
	start := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return fmt.Sprintf("The page asked for a response after %v.", d)
	case <-sender.Done():
		return fmt.Sprintf("The sender hung up after %v, before the response that the page had delayed.",
			time.Since(start).Round(100*time.Millisecond))
	case <-rc.ctx.Done():
		return "The command ended before the delay did."
	}
}

// end records the result, so that whoever sees the response also sees the
// result, and responds.
func (rc *receiver) end(w http.ResponseWriter, g *group, a *attempt, res result) {
	rc.store.finish(g, a, res)
	if res.retryAfter != "" {
		w.Header().Set("Retry-After", res.retryAfter)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(res.status)
	if res.status != http.StatusNoContent && res.status != http.StatusNotModified {
		_, _ = io.WriteString(w, http.StatusText(res.status)+"\n")
	}
	rc.notice(rc.noticeOf(g, a))
}

func (rc *receiver) noticeOf(g *group, a *attempt) (n Notice) {
	rc.store.mu.Lock()
	defer rc.store.mu.Unlock()
	n = Notice{
		At:        a.at,
		Status:    a.status,
		Verdict:   refusedWord,
		ID:        g.id,
		Type:      g.typ,
		Attempt:   g.received,
		Duplicate: a.duplicate,
		Replay:    a.replay,
		Reasons:   g.reasons,
		Note:      a.note,
	}
	if g.genuine {
		n.Verdict = genuineWord
	}
	return n
}

func (rc *receiver) notice(n Notice) {
	if rc.cfg.Observe == nil {
		return
	}
	rc.noticing.Lock()
	defer rc.noticing.Unlock()
	if n.At.IsZero() {
		n.At = time.Now()
	}
	rc.cfg.Observe(n)
}

func (rc *receiver) problem(err error) {
	if rc.cfg.Problem != nil && !errors.Is(err, errReported) {
		rc.cfg.Problem(err)
	}
}

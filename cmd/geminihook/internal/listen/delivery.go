package listen

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// The words of "geminihook verify".
const (
	genuineWord = "genuine"
	refusedWord = "not accepted"
)

// attempt is one request, or one replay.
type attempt struct {
	cursor    int64 // grows with every attempt
	at        time.Time
	path      string
	source    string    // of a delivery: where it came from
	began     time.Time // when its headers had arrived
	header    http.Header
	body      []byte
	shared    bool   // the body is that of the attempt before
	cutOff    bool   // the body was too large or incomplete
	duplicate bool   // arrived while or after another attempt succeeded
	replay    string // "same", "fresh" or "test", or empty for a delivery
	fault     string // the fault that was asked for
	result
}

// result is what became of an attempt.
type result struct {
	status     int         // zero while in progress
	note       string      // what the status alone does not tell
	response   string      // the beginning of the local program's response
	headers    [][2]string // of that response
	retryAfter string
	elapsed    time.Duration
}

// group is everything that arrived under one webhook-id. Genuine deliveries and
// those that were not accepted are never in the same group: anyone can send a
// request with somebody else's id.
type group struct {
	number       int64
	key          string
	id, typ, job string // shortened; of a delivery that was not accepted: as it claims
	genuine      bool
	proof        geminihook.Proof
	reasons      []string
	unexplained  error // why it was refused, if the reasons do not tell yet

	attempts                      []*attempt // the latest ones
	received, duplicates, replays int
	failed                        int  // the latest 5xx status since the last success
	clearedAfter                  int  // the 5xx status after which an attempt succeeded
	acknowledged                  bool // an attempt has had a 2xx

	changed int64 // the store's version at the last change
	size    int   // bytes of paths, headers, and bodies
}

// maxClaim is the longest id, type, or job that is kept, in bytes. Every message
// to the page has them.
const maxClaim = 512

// claim returns the text, or a copy of its beginning if it is longer than
// maxClaim.
func claim(text string) string {
	if len(text) <= maxClaim {
		return text
	}
	return strings.ToValidUTF8(strings.Clone(text[:maxClaim]), "") + "..."
}

// last returns the latest attempt. A group always has one.
func (g *group) last() *attempt { return g.attempts[len(g.attempts)-1] }

// pending reports whether an attempt has not ended.
func (g *group) pending() bool {
	for _, a := range g.attempts {
		if a.status == 0 {
			return true
		}
	}
	return false
}

// summary is the form of a group in a list.
type summary struct {
	Number       int64     `json:"number"` // for /api/deliveries/NUMBER
	Cursor       int64     `json:"cursor"` // for after=
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Job          string    `json:"job"`
	Verified     bool      `json:"verified"`
	Verdict      string    `json:"verdict"`
	Reason       string    `json:"reason"`
	Scheme       string    `json:"scheme"`
	Key          string    `json:"key"`
	Attempts     int       `json:"attempts"`
	Duplicates   int       `json:"duplicates"`
	Replays      int       `json:"replays"`
	Status       int       `json:"status"` // of the latest attempt; 0 while it is in progress
	Pending      bool      `json:"pending"`
	ClearedAfter int       `json:"cleared_after"`
	At           time.Time `json:"at"`
	First        time.Time `json:"first"`
	Changed      int64     `json:"changed"`
}

// summary describes the group. The first reason is the shortest.
func (g *group) summary() summary {
	last := g.last()
	s := summary{
		Number: g.number, Cursor: last.cursor, ID: g.id, Type: g.typ, Job: g.job,
		Verified: g.genuine, Verdict: refusedWord,
		Scheme: g.proof.Scheme, Key: g.proof.KeyName, Attempts: g.received,
		Duplicates: g.duplicates, Replays: g.replays,
		Status: last.status, Pending: g.pending(), ClearedAfter: g.clearedAfter, At: last.at,
		First: g.attempts[0].at, Changed: g.changed,
	}
	if g.genuine {
		s.Verdict = genuineWord
	}
	if len(g.reasons) > 0 {
		s.Reason = g.reasons[0]
	}
	return s
}

// finish records the end of an attempt.
func (g *group) finish(a *attempt, r result) {
	a.result = r
	switch {
	case !g.genuine:
	case r.status >= 500:
		g.failed, g.clearedAfter = r.status, 0
	case r.status >= 200 && r.status <= 299:
		g.acknowledged = true
		if g.failed != 0 {
			g.failed, g.clearedAfter = 0, g.failed
		}
	}
}

// add appends an attempt and forgets the oldest if there are too many.
func (g *group) add(a *attempt) {
	if len(g.attempts) > 0 && bytes.Equal(g.last().body, a.body) { // as in every retry
		a.body, a.shared = g.last().body, true
	}
	a.duplicate = a.replay == "" && g.genuine && (g.acknowledged || g.pending())
	switch {
	case a.replay != "":
		g.replays++
	case a.duplicate:
		g.duplicates++
		fallthrough
	default:
		g.received++
	}
	g.attempts = append(g.attempts, a)
	if len(g.attempts) > maxAttempts {
		g.attempts = append([]*attempt(nil), g.attempts[1:]...)
	}
	g.measure()
}

// What an attempt and a header take besides their bytes, roughly.
const (
	attemptOverhead = 512
	headerOverhead  = 128
)

// measure counts what the group occupies.
func (g *group) measure() {
	g.size = 0
	for i, a := range g.attempts {
		g.size += attemptOverhead + len(a.path)
		for name, values := range a.header {
			for _, v := range values {
				g.size += headerOverhead + len(name) + len(v)
			}
		}
		if i == 0 || !a.shared {
			g.size += len(a.body)
		}
	}
}

// attempt returns the attempt with a cursor or, if there is none, the latest.
// The headers and the body of an attempt never change.
func (g *group) attempt(cursor string) *attempt {
	for _, a := range g.attempts {
		if strconv.FormatInt(a.cursor, 10) == cursor {
			return a
		}
	}
	return g.last()
}

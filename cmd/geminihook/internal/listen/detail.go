package listen

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/geminihook/geminihook"
)

// maxShown bounds the text of a body in a response of the page, in bytes.
const maxShown = 256 << 10

// detail is everything about a group. The body and what is made of it are those
// of the latest attempt. If the body is Binary, it is not UTF-8 and is shown with
// replacement characters.
type detail struct {
	summary
	Reasons []string        `json:"reasons"`
	Body    string          `json:"body"`
	Binary  bool            `json:"binary"`
	CutOff  bool            `json:"cut_off"`
	Bytes   int             `json:"bytes"`
	Pretty  string          `json:"pretty"`  // indented JSON, or empty
	Decoded string          `json:"decoded"` // the event in the syntax of Go, or empty
	History []attemptDetail `json:"history"` // the attempts, oldest first
}

// attemptDetail is one attempt.
type attemptDetail struct {
	Cursor    int64       `json:"cursor"`
	At        time.Time   `json:"at"`
	Path      string      `json:"path"`
	Headers   [][2]string `json:"headers"`
	Duplicate bool        `json:"duplicate"`
	Replay    string      `json:"replay"`
	Fault     string      `json:"fault"`
	Status    int         `json:"status"`
	Note      string      `json:"note"`
	Response  string      `json:"response"` // the beginning of the body
	Answered  [][2]string `json:"response_headers"`
	ElapsedMS float64     `json:"elapsed_ms"`
}

// detail describes the group.
func (g *group) detail() *detail {
	last := g.last()
	body := last.body[:min(len(last.body), maxShown)]
	d := &detail{
		summary: g.summary(),
		Reasons: append([]string{}, g.reasons...),
		Body:    string(bytes.ToValidUTF8(body, []byte("\ufffd"))),
		Binary:  !utf8.Valid(last.body),
		CutOff:  last.cutOff || len(body) < len(last.body),
		Bytes:   len(last.body),
		History: []attemptDetail{},
	}
	if len(body) == len(last.body) {
		d.Pretty = strings.ToValidUTF8(indent(body, "", "  "), "\ufffd")
	}
	if ev, err := geminihook.ParseUnverified(body); err == nil {
		ev.ID, ev.Proof = g.id, g.proof
		d.Decoded = goSyntax(ev)
	}
	for _, a := range g.attempts {
		d.History = append(d.History, a.detail())
	}
	return d
}

func (a *attempt) detail() attemptDetail {
	d := attemptDetail{
		Cursor:    a.cursor,
		At:        a.at,
		Path:      a.path,
		Headers:   [][2]string{},
		Duplicate: a.duplicate,
		Replay:    a.replay,
		Fault:     a.fault,
		Status:    a.status,
		Note:      a.note,
		Response:  a.response,
		Answered:  append([][2]string{}, a.headers...),
		ElapsedMS: ms(a.elapsed),
	}
	d.Headers = append(d.Headers, pairs(a.header)...)
	return d
}

// pairs returns the lines of a header, sorted by their names.
func pairs(header http.Header) (lines [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			lines = append(lines, [2]string{name, value})
		}
	}
	return lines
}

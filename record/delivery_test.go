package record_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFile checks every line of a file: a recorded event verifies, and nothing else
// of the request is in it.
func TestFile(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	d := webhooktest.NewBody([]byte(
		`{"type":"batch.failed","timestamp":"2026-01-22T11:59:30Z","data":{"id":"batches/1"}}`))
	d.SetID("msg_../1")
	d.Sign(g.now(), signer)
	d.Header["Webhook-Signature"] = []string{"v2,x", d.Header.Get("webhook-signature")}
	r := d.Request("/gemini?token=confidential")
	r.Header.Set("Cookie", "confidential")
	r.Header.Set("Authorization", "confidential")
	r.Header.Set("Content-Encoding", "identity")
	r.Header.Set("Geminihook-Result", "processed")
	h := g.endpoint.Handler(func(context.Context, *geminihook.Event) error { return errPoison })
	h.ServeHTTP(httptest.NewRecorder(), r)

	name := g.names(t)[0]
	assert.Regexp(t, `^failed-[0-9a-f]{32}\.http$`, name)
	content := g.only(t)
	head, body, _ := strings.Cut(content, "\r\n\r\n")
	assert.Equal(t, string(d.Body), body)
	assert.Equal(t, []string{
		"POST / HTTP/1.1",
		"Host: localhost",
		"Content-Encoding: identity",
		"Content-Type: application/json",
		"Geminihook-Attempts: 1",
		"Geminihook-Event-Time: 2026-01-22T11:59:30Z",
		"Geminihook-First-Attempt: 2026-01-22T12:00:00Z",
		"Geminihook-Job: batches/1",
		"Geminihook-Last-Attempt: 2026-01-22T12:00:00Z",
		"Geminihook-Reason: poison",
		"Geminihook-Result: failed",
		"Geminihook-Scheme: v1",
		"Geminihook-Type: batch.failed",
		"Webhook-Id: msg_../1",
		"Webhook-Signature: v2,x",
		"Webhook-Signature: " + d.Header["Webhook-Signature"][1],
		"Webhook-Timestamp: " + d.Header.Get("webhook-timestamp"),
		fmt.Sprintf("Content-Length: %d", len(d.Body)),
	}, strings.Split(head, "\r\n"))

	loaded, err := webhooktest.Load(os.DirFS(g.recorder.Dir), "*.http")
	require.NoError(t, err)
	d.Header.Set("Content-Encoding", "identity")
	assert.Equal(t, d.Header, loaded[0].Header)
	assert.Equal(t, 200, g.post(loaded[0].Delivery, nil))
	assert.Contains(t, g.logs.String(), name)
}

// TestProcess: an event from a queue has no headers.
func TestProcess(t *testing.T) {
	const raw = `{"type":"batch.failed","data":{"id":"batches/1"}}`
	for _, tt := range []struct {
		name string
		id   string
		raw  string
		want string // the header, from Webhook-Id on
	}{
		{"raw", "msg_1", raw, "Webhook-Id: msg_1\r\nContent-Length: 49\r\n\r\n" + raw},
		{"made without Raw", "msg_1", "", "Webhook-Id: msg_1\r\nContent-Length: 0\r\n\r\n"},
		{"hostile id", "a\r\nCookie: x", raw, "Process\r\nContent-Length: 49\r\n\r\n" + raw},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, &record.Recorder{})
			ev := &geminihook.Event{ID: tt.id, Data: &geminihook.BatchExpired{ID: "batches/1"}}
			if tt.raw != "" {
				ev.Raw = []byte(tt.raw)
			}
			run := func(err error) {
				fn := func(context.Context, *geminihook.Event) error { return err }
				g.endpoint.Process(t.Context(), ev, fn)
			}
			run(errPoison)
			content := g.only(t)
			assert.True(t, strings.HasSuffix(content, tt.want), content)
			assert.Contains(t, content, "Geminihook-Job: batches/1\r\n")
			assert.Contains(t, content, "Geminihook-Source: Endpoint.Process\r\n")
			assert.NotContains(t, content, "Webhook-Timestamp")
			_, err := webhooktest.Load(os.DirFS(g.recorder.Dir), "failed-*.http")
			require.NoError(t, err)
			run(nil)
			assert.Empty(t, g.names(t))
		})
	}
}

// TestHostileText: a reason, a job or a header may hold anything, and the file keeps
// its form.
func TestHostileText(t *testing.T) {
	hostile := "a\r\nWebhook-Id: msg_x\r\n\r\nbody\x00\x1b[2J\xff\u202e" + strings.Repeat("é", 5000)
	g := newRig(t, &record.Recorder{})
	data := &geminihook.BatchExpired{ID: hostile}
	g.recorder.Observe(t.Context(), geminihook.Outcome{
		Result: geminihook.Failed, ID: "msg_1", Err: errors.New(hostile),
		Event:  &geminihook.Event{ID: "msg_1", Data: data, Raw: []byte("{}")},
		Header: http.Header{"webhook-id": {"msg_1"}, "Content-Type": {"x\r\n\r\n\x00"}},
		Body:   []byte("{}"),
	})
	content := g.only(t)
	assert.Less(t, len(content), 3000)
	assert.NotContains(t, content, "\x1b")
	assert.NotContains(t, content, "\u202e")
	loaded, err := webhooktest.Load(os.DirFS(g.recorder.Dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, "{}", string(loaded[0].Body))
	assert.Equal(t, http.Header{"Webhook-Id": {"msg_1"}, "Content-Type": {"x"}}, loaded[0].Header)
}

// TestLowerCase: serverless adapters may keep the names of the headers as they were.
func TestLowerCase(t *testing.T) {
	g := newRig(t, &record.Recorder{})
	d := g.delivery("msg_1").WrongSecret()
	lower := http.Header{}
	for name, values := range d.Header {
		lower[strings.ToLower(name)] = values
	}
	g.recorder.Observe(t.Context(), geminihook.Outcome{
		Result: geminihook.Rejected, Err: geminihook.ErrSignature, Header: lower, Body: d.Body,
	})
	assert.Equal(t, "rejected 1", g.kinds(t))
	loaded, err := webhooktest.Load(os.DirFS(g.recorder.Dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, d.Header, loaded[0].Header)
}

// TestContentLength: a body that was cut on its way to the endpoint is recorded with
// the length that was announced, so that "geminihook verify" sees it.
func TestContentLength(t *testing.T) {
	for _, tt := range []struct {
		name      string
		announced string
		err       error
		want      string
	}{
		{"longer than the body", "70", geminihook.ErrSignature, "Content-Length: 70\r\n\r\n{}"},
		{"shorter", "1", geminihook.ErrSignature, "Content-Length: 2\r\n\r\n{}"},
		{"no number", "-7x", geminihook.ErrSignature, "Content-Length: 2\r\n\r\n{}"},
		{"verified", "70", nil, "Content-Length: 2\r\n\r\n{}"},
		{"not read", "70", geminihook.ErrHeader, "Content-Length: 0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, &record.Recorder{})
			o := geminihook.Outcome{
				Result: geminihook.Rejected, Err: tt.err, Body: []byte("{}"),
				Header: http.Header{"Webhook-Id": {"a"}, "Content-Length": {tt.announced}},
			}
			switch tt.name {
			case "not read":
				o.Body = nil
			case "verified":
				o.Event = &geminihook.Event{ID: "a", Raw: o.Body}
			}
			g.recorder.Observe(t.Context(), o)
			content := g.only(t)
			assert.True(t, strings.HasSuffix(content, tt.want), content)
			notRead := strings.Contains(content, "Geminihook-Body: not read\r\n")
			assert.Equal(t, o.Body == nil, notRead)
		})
	}
}

// FuzzObserve: whatever an outcome holds, its file reads back with the same body and
// no other headers.
func FuzzObserve(f *testing.F) {
	f.Add("msg_1", "v1,AAAA", "poison", "batches/1", []byte(`{"type":"x"}`), true)
	f.Add("a\r\n\r\n", "\x00\xff", "é\r\n", "\u202e:", []byte("\r\n\r\nPOST"), false)
	f.Fuzz(func(t *testing.T, id, signature, reason, job string, body []byte, verified bool) {
		g := newRig(t, &record.Recorder{MaxBytes: 1 << 20})
		o := geminihook.Outcome{
			Result: geminihook.Failed, ID: id, Err: errors.New(reason), Body: body,
			Header: http.Header{
				"Webhook-Id": {id}, "webhook-signature": {signature}, "Cookie": {"c"},
			},
		}
		if verified {
			data := &geminihook.BatchExpired{ID: job}
			o.Event = &geminihook.Event{ID: id, Data: data, Raw: body}
		}
		g.recorder.Observe(t.Context(), o)
		if strings.Contains(g.logs.String(), "too large") {
			return
		}
		d, err := webhooktest.Read(strings.NewReader(g.only(t)))
		require.NoError(t, err)
		require.Equal(t, string(body), string(d.Body))
		for name := range d.Header {
			require.Contains(t, []string{"Webhook-Id", "Webhook-Signature"}, name)
		}
	})
}

package listen_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

func readInto(w io.Writer, resp *http.Response) (int64, error) { return io.Copy(w, resp.Body) }

func TestList(t *testing.T) {
	b := start(t, listen.Config{})
	assert.NotNil(t, b.list(""), "an empty array, not null")
	first := webhooktest.NewData(&geminihook.BatchSucceeded{ID: "batch_123456"}, signer)
	second := webhooktest.NewBody(webhooktest.BodyWith(geminihook.EventVideoGenerated,
		map[string]any{"order": "A-1042"}), signer)
	b.deliver(first)
	b.deliver(second)
	b.deliver(webhooktest.New(geminihook.EventVideoGenerated, signer).Tampered())
	b.deliver(first) // now the newest
	ids := func(query string) (all []string) {
		for _, d := range b.list(query) {
			all = append(all, d.Type+" "+strconv.FormatBool(d.Verified))
		}
		return all
	}
	assert.Equal(t, first.ID(), b.list("")[0].ID)
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"?type=video.generated&verified=true", []string{"video.generated true"}},
		{"?id=" + first.ID(), []string{"batch.succeeded true"}},
		{"?job=batch_123456", []string{"batch.succeeded true"}},
		{"?q=a-1042", []string{"video.generated true"}},
		{"?q=BATCH_1234", []string{"batch.succeeded true"}},
		{"?after=3", []string{"batch.succeeded true"}},
		{"?after=4", nil},
		{"?q=" + strings.Repeat("y", 10_000), nil},
	} {
		assert.Equal(t, tt.want, ids(tt.query), "%.40s", tt.query)
	}
	var latest delivery
	b.get("api/deliveries/latest?type=video.generated", http.StatusOK, &latest)
	assert.Equal(t, second.ID(), latest.ID, "not the forgery, which is newer")
	assert.JSONEq(t, string(second.Body), latest.Body)
	b.get("api/deliveries/latest?type=batch.failed", http.StatusNotFound, nil)
	b.get("api/deliveries/99", http.StatusNotFound, nil)
	b.get("api/deliveries/x", http.StatusNotFound, nil)
}

// TestWait checks that a waiting request ends when the delivery has had its
// response, and not at a forgery or another type.
func TestWait(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	b.get("api/wait?timeout=1ms", http.StatusGatewayTimeout, nil)
	for _, bad := range []string{"x", "-1s", "1h"} {
		b.get("api/wait?timeout="+bad, http.StatusBadRequest, nil)
	}
	got := make(chan delivery)
	go func() {
		var d delivery
		b.get("api/wait?type=video.generated&timeout=2m", http.StatusOK, &d)
		got <- d
	}()
	b.deliver(webhooktest.New(geminihook.EventVideoGenerated, signer).Tampered())
	b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	p.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	d := webhooktest.New(geminihook.EventVideoGenerated, signer)
	b.deliver(d)
	first := <-got
	assert.Equal(t, d.ID(), first.ID)
	assert.Equal(t, http.StatusAccepted, first.Status)

	var again delivery
	b.get("api/wait?type=video.generated", http.StatusOK, &again)
	assert.Equal(t, first.ID, again.ID, "it has arrived before")
	b.get("api/wait?timeout=1ms&type=video.generated&after="+strconv.FormatInt(first.Cursor, 10),
		http.StatusGatewayTimeout, nil)
}

// TestStream checks that a stream begins with everything and goes on with what
// has changed.
func TestStream(t *testing.T) {
	b := start(t, listen.Config{})
	b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	resp, err := http.Get(b.PageURL() + "api/stream?token=" + pageToken)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	lines := bufio.NewScanner(resp.Body)
	next := func() (event string, deliveries []delivery) {
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var m struct{ Deliveries []delivery }
				require.NoError(t, json.Unmarshal([]byte(data), &m))
				return event, m.Deliveries
			}
		}
		require.NoError(t, lines.Err())
		return "", nil
	}
	event, all := next()
	assert.Equal(t, "reset", event)
	require.Len(t, all, 1)
	b.deliver(webhooktest.New(geminihook.EventVideoGenerated, signer))
	for {
		event, all = next()
		assert.Equal(t, "change", event)
		require.Len(t, all, 1)
		assert.Equal(t, "video.generated", all[0].Type)
		if all[0].Status == http.StatusOK {
			break
		}
	}
}

func TestReplay(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	b.deliver(d)
	b.deliver(d.Tampered())
	for _, tt := range []struct {
		name, path, body string
		status           int
	}{
		{"same", "1", `{"mode":"same"}`, 200},
		{"fresh", "1", `{"mode":"fresh"}`, 200},
		{"no mode", "1", `{}`, 409},
		{"unknown field", "1", `{"mode":"same","url":"http://evil.example/"}`, 400},
		{"refused, same", "2", `{"mode":"same"}`, 409},
		{"refused, fresh", "2", `{"mode":"fresh"}`, 409},
		{"missing", "9", `{"mode":"same"}`, 409},
		{"not JSON", "1", `x`, 400},
		{"large", "1", `{"mode":"` + strings.Repeat("s", 10_000) + `"}`, 400},
	} {
		assert.Equal(t, tt.status, b.post("api/deliveries/"+tt.path+"/replay", tt.body).StatusCode,
			tt.name)
	}
	got := p.got()
	require.Len(t, got, 3)
	assert.Equal(t, got[0], got[1])
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	_, err = verifier.Verify(t.Context(), got[2].Header, got[2].Body)
	require.NoError(t, err)
	assert.Equal(t, d.Body, got[2].Body)
	one := b.detail(1)
	assert.Equal(t, 1, one.Attempts)
	assert.Equal(t, 2, one.Replays)
	assert.Equal(t, "fresh", one.History[2].Replay)

	none := start(t, listen.Config{})
	none.deliver(d)
	assert.Equal(t, http.StatusConflict,
		none.post("api/deliveries/1/replay", `{"mode":"same"}`).StatusCode)
}

// TestReplayDynamic checks that an event which anyone with an API key can cause
// does not get the signature of the user's own project.
func TestReplayDynamic(t *testing.T) {
	keys := webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(1)))
	defer keys.Close()
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL, Verifier: &geminihook.KeySet{URL: keys.URL}, Signers: []webhooktest.Signer{signer}})
	b.deliver(webhooktest.New("x", webhooktest.Dynamic(webhooktest.Key(1))))
	assert.Equal(t, http.StatusConflict,
		b.post("api/deliveries/1/replay", `{"mode":"fresh"}`).StatusCode)
	assert.Equal(t, http.StatusOK, b.post("api/deliveries/1/replay", `{"mode":"same"}`).StatusCode)
	assert.Len(t, p.got(), 2)
}

func TestFault(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	for _, bad := range []string{
		`{"mode":"404","left":1}`, `{"mode":"500"}`, `{"mode":"500","left":1001}`,
		`{"mode":"slow","left":1}`, `{"mode":"slow","left":1,"seconds":31}`, `[]`,
	} {
		assert.Equal(t, http.StatusBadRequest, b.post("api/fault", bad).StatusCode, bad)
	}
	assert.Equal(t, http.StatusOK, b.post("api/fault", `{"mode":"503","left":2}`).StatusCode)
	b.deliver(webhooktest.New("x", signer).WrongSecret()) // does not count
	for _, want := range []int{503, 503, 200} {
		assert.Equal(t, want, b.deliver(webhooktest.New("x", signer)).StatusCode)
	}
	assert.Len(t, p.got(), 1)
	assert.Equal(t, http.StatusOK,
		b.post("api/fault", `{"mode":"slow","left":1,"seconds":1}`).StatusCode)
	assert.Equal(t, 200, b.deliver(webhooktest.New("x", signer)).StatusCode)
	assert.Contains(t, b.detail(int(b.list("")[0].Number)).History[0].Note, "after 1s")
	assert.Equal(t, http.StatusOK, b.post("api/fault", `{"mode":"500","left":5}`).StatusCode)
	assert.Equal(t, http.StatusOK, b.post("api/fault", `{"mode":"","left":0}`).StatusCode)
	assert.Equal(t, 200, b.deliver(webhooktest.New("x", signer)).StatusCode)
	assert.Equal(t, http.StatusOK, b.post("api/clear", `{}`).StatusCode)
	assert.Empty(t, b.list(""))
	b.get("api/deliveries?q="+url.QueryEscape("\x00"), http.StatusOK, nil)
}

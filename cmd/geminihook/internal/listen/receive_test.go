package listen_test

import (
	"context"
	"crypto/ed25519"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReceive checks the response to each kind of request and what is kept of it.
func TestReceive(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL + "/gemini"})
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	noHeaders := &webhooktest.Delivery{Header: http.Header{}, Body: []byte("{}")}
	for _, tt := range []struct {
		name      string
		d         *webhooktest.Delivery
		status    int
		verified  bool
		reason    string
		forwarded int
	}{
		{"genuine", genuine, 200, true, "", 1},
		{"tampered", genuine.Tampered(), 400, false, "no signature matches", 1},
		{"wrong secret", webhooktest.New("x", signer).WrongSecret(), 400, false, "no signature matches", 1},
		{"stale", webhooktest.New("x", signer).Stale(), 400, false, "tolerance", 1},
		{"no headers", noHeaders, 400, false, "webhook-id", 1},
		{"too large", webhooktest.New("x", signer).Oversized(maxBody), 413, false, "too large", 1},
		{"not an event", webhooktest.NewBody([]byte(`[]`), signer), 400, false, "payload", 1},
		{"unknown type", webhooktest.New("batch.paused", signer), 200, true, "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.status, b.deliver(tt.d).StatusCode)
			d := b.list("")[0]
			assert.Equal(t, tt.d.ID(), d.ID)
			assert.Equal(t, tt.status, d.Status)
			assert.Equal(t, tt.verified, d.Verified)
			assert.Contains(t, d.Reason, tt.reason)
			assert.Len(t, p.got(), tt.forwarded)
		})
	}
	assert.Len(t, b.list(""), 8, "a forgery with the id of a genuine delivery is kept apart")
	assert.Len(t, b.list("?verified=true"), 2)
}

// TestProbe checks that a GET is no delivery.
func TestProbe(t *testing.T) {
	b := start(t, listen.Config{})
	resp, err := http.Get(b.ReceiveURL())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	assert.Equal(t, http.MethodPost, resp.Header.Get("Allow"))
	assert.Empty(t, b.list(""))
	assert.Equal(t, "probe", b.lines[0].Verdict)
}

// TestNotThePage checks that the port that a tunnel exposes serves nothing of
// the page.
func TestNotThePage(t *testing.T) {
	b := start(t, listen.Config{})
	b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	for _, path := range []string{"", "api/deliveries", "api/stream", "api/wait?timeout=0s", "app.js"} {
		resp, err := http.Get(b.ReceiveURL() + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode, path)
		assert.NotContains(t, string(body), "batch")
	}
}

// TestForward checks that the program gets the delivery as it was.
func TestForward(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL + "/gemini?key=1"})
	var path string
	p.set(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.String()
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "database is down")
	})
	d := webhooktest.NewBody([]byte("{\"type\":\"x\",\n \"data\":{} }\n"), signer)
	d.Header.Add("X-Forwarded-For", "192.0.2.1")
	d.Header.Add("Connection", "x-hop")
	d.Header.Add("X-Hop", "1")
	d.Header["User-Agent"] = []string{""}
	resp := b.deliver(d)
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.Equal(t, "7", resp.Header.Get("Retry-After"))
	assert.Equal(t, "/gemini?key=1", path)
	got := p.got()[0]
	assert.Equal(t, d.Body, got.Body)
	for name := range d.Header {
		switch name {
		case "X-Hop", "Connection", "User-Agent":
			assert.NotContains(t, got.Header, name)
		default:
			assert.Equal(t, d.Header[name], got.Header[name], name)
		}
	}
	assert.Equal(t, "database is down", b.detail(1).History[0].Response)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(body), "database", "a stranger may be at the other end")
}

// detail returns everything about a group.
func (b *bench) detail(number int) (d delivery) {
	b.t.Helper()
	b.get("api/deliveries/"+itoa(number), http.StatusOK, &d)
	return d
}

// TestForwardFails checks what the sender gets if the program cannot respond.
func TestForwardFails(t *testing.T) {
	const closed = "http://127.0.0.1:1" // no system gives its port to a program
	b := start(t, listen.Config{Forward: closed})
	assert.Equal(t, http.StatusBadGateway, b.deliver(webhooktest.New("x", signer)).StatusCode)
	assert.Contains(t, b.detail(1).History[0].Note, "could not be reached")

	require.Equal(t, http.StatusOK,
		b.post("api/fault", `{"mode":"slow","left":1,"seconds":1}`).StatusCode)
	assert.Equal(t, http.StatusBadGateway, b.deliver(webhooktest.New("x", signer)).StatusCode)
	note := b.detail(2).History[0].Note
	assert.Contains(t, note, "could not be reached")
	assert.Contains(t, note, "after 1s")

	thief := newProgram(t)
	p := newProgram(t)
	p.set(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	})
	b = start(t, listen.Config{Forward: p.URL})
	assert.Equal(t, http.StatusTemporaryRedirect,
		b.deliver(webhooktest.New("x", signer)).StatusCode)
	assert.Empty(t, thief.got(), "a redirect is not followed")
	assert.Contains(t, b.detail(1).History[0].Note, "not followed")

	for status, want := range map[int]string{
		404: "is the path of -forward right?",
		405: "is the path of -forward right?",
		500: "",
	} {
		p.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		d := webhooktest.New("x", signer)
		assert.Equal(t, status, b.deliver(d).StatusCode)
		note := b.detail(int(b.list("")[0].Number)).History[0].Note
		assert.Contains(t, note, want)
		assert.Equal(t, want == "", note == "")
	}
	odd := newProgram(t)
	odd.set(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, "HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n")
			assert.NoError(t, conn.Close())
		}
	})
	b = start(t, listen.Config{Forward: odd.URL})
	assert.Equal(t, http.StatusBadGateway, b.deliver(webhooktest.New("x", signer)).StatusCode)
	assert.Contains(t, b.detail(1).History[0].Note, "042")
}

// TestGroups checks attempts, duplicates, and "cleared after".
func TestGroups(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	for _, step := range []struct {
		respond              int
		attempts, duplicates int
		cleared              int
	}{
		{500, 1, 0, 0},
		{503, 2, 0, 0},
		{200, 3, 0, 503},
		{200, 4, 1, 503},
		{500, 5, 2, 0},
		{204, 6, 3, 500},
	} {
		p.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(step.respond) })
		assert.Equal(t, step.respond, b.deliver(d.Sign(time.Now(), signer)).StatusCode)
		got := b.list("")
		require.Len(t, got, 1)
		assert.Equal(t, step.respond, got[0].Status)
		assert.Equal(t, step.attempts, got[0].Attempts)
		assert.Equal(t, step.duplicates, got[0].Duplicates)
		assert.Equal(t, step.cleared, got[0].ClearedAfter)
	}
	for range 30 {
		b.deliver(d.Sign(time.Now(), signer))
	}
	assert.Equal(t, 36, b.list("")[0].Attempts)
	assert.Len(t, b.detail(1).History, 20)
}

// TestInProgress checks that a delivery is a duplicate while the first is being
// handled, and that the first is shown before it ends.
func TestInProgress(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	p.set(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release })
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	ended := make(chan int, 2)
	for range 2 {
		go func() { ended <- b.deliver(d.Clone()).StatusCode }()
		<-arrived
	}
	got := b.list("")[0]
	assert.True(t, got.Pending)
	assert.Equal(t, 1, got.Duplicates)
	assert.Zero(t, got.Status)
	close(release)
	assert.Equal(t, 200, <-ended)
	assert.Equal(t, 200, <-ended)
	assert.False(t, b.list("")[0].Pending)
}

// TestDynamic checks that a v1a delivery is verified by its key, and that it has
// a group apart from a v1 delivery with the same id.
func TestDynamic(t *testing.T) {
	key := webhooktest.Key(1)
	static, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	verifier := geminihook.AnyOf(static, &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(key)}})
	b := start(t, listen.Config{Verifier: verifier})
	d := webhooktest.New("x", webhooktest.Dynamic(key))
	assert.Equal(t, 200, b.deliver(d).StatusCode)
	assert.Equal(t, 200, b.deliver(d.Sign(time.Now(), signer)).StatusCode)
	assert.Len(t, b.list(""), 2)
}

// TestExplain checks that the reasons are the command's words.
func TestExplain(t *testing.T) {
	why := func(_ context.Context, r listen.Refusal) []string {
		return []string{"why " + r.Header.Get("webhook-id"), strings.ToUpper(r.Err.Error())}
	}
	b := start(t, listen.Config{Explain: why})
	d := webhooktest.New("x", signer).WrongSecret()
	b.deliver(d)
	got := b.detail(1)
	assert.Equal(t, "why "+d.ID(), got.Reason)
	assert.Equal(t, "not accepted", got.Verdict)
	assert.Contains(t, got.Reasons[1], "NO SIGNATURE MATCHES")
	assert.Equal(t, got.Reasons, b.lines[0].Reasons)
}

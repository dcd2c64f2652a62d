package listen_test

import (
	"bufio"
	"fmt"
	"net"
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

// sender is a connection that has sent the headers of a delivery, of which the listener
// reads the body.
type sender struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// slowSender begins to send a delivery. When it returns, the listener waits for the body:
// only then does net/http ask for it.
func slowSender(t *testing.T, b *bench, d *webhooktest.Delivery, from string) *sender {
	t.Helper()
	conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(b.ReceiveURL(), "http://"), "/"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	var head strings.Builder
	head.WriteString("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n")
	fmt.Fprintf(&head, "Content-Length: %d\r\n", len(d.Body))
	if from != "" {
		fmt.Fprintf(&head, "X-Forwarded-For: %s\r\n", from)
	}
	require.NoError(t, d.Header.Write(&head))
	_, err = conn.Write([]byte(head.String() + "\r\n"))
	require.NoError(t, err)
	s := &sender{t: t, conn: conn, in: bufio.NewReader(conn), body: d.Body}
	line, err := s.in.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue")
	_, err = s.in.ReadString('\n')
	require.NoError(t, err)
	return s
}

// finish sends the body and returns the status of the response.
func (s *sender) finish() int {
	s.t.Helper()
	_, _ = s.conn.Write(s.body) // the listener may have hung up
	return s.status()
}

// status returns the status of the response to what was sent.
func (s *sender) status() int {
	s.t.Helper()
	resp, err := http.ReadResponse(s.in, nil)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	return resp.StatusCode
}

// TestSlowStrangers: whoever sends bodies slowly does not keep others from delivering,
// whatever the headers.
func TestSlowStrangers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header func(*webhooktest.Delivery)
	}{
		{"forged", func(*webhooktest.Delivery) {}},
		{"no headers", func(d *webhooktest.Delivery) { d.Header = http.Header{} }},
		{"old", func(d *webhooktest.Delivery) { d.Stale() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, listen.Config{})
			var strangers []*sender
			for range 80 {
				d := webhooktest.New("x", signer).WrongSecret()
				tt.header(d)
				strangers = append(strangers, slowSender(t, b, d, ""))
			}
			for range 12 {
				d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
				assert.Equal(t, http.StatusOK, b.deliver(d).StatusCode)
			}
			assert.Equal(t, http.StatusBadRequest, strangers[0].status(), "the slowest was cut off")
			assert.Equal(t, http.StatusBadRequest, strangers[len(strangers)-1].finish(), "forged")
		})
	}
}

// quickly repeats a scenario that the listener's own deadline of ten seconds for a
// request would spoil on a busy machine, until it has taken less than half of that.
func quickly(scenario func() (ok bool)) bool {
	for {
		began := time.Now()
		ok := scenario()
		if ok || time.Since(began) < 5*time.Second {
			return ok
		}
	}
}

// TestSlowSources: a source that takes most slots loses them first, and one that is slow
// with a genuine delivery keeps its slot.
func TestSlowSources(t *testing.T) {
	b := start(t, listen.Config{})
	assert.True(t, quickly(func() bool {
		d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
		honest := slowSender(t, b, d, "192.0.2.1")
		var strangers []*sender
		for i := range 100 {
			from := fmt.Sprintf("192.0.2.1, 2001:db8::%x", i) // one network, and a claim before it
			forged := webhooktest.New("x", signer).WrongSecret()
			strangers = append(strangers, slowSender(t, b, forged, from))
		}
		cut := strangers[0].status()
		return cut == http.StatusBadRequest && honest.finish() == http.StatusOK
	}))
}

// TestSlowOthers: requests with which no delivery is genuine take no slot of others.
func TestSlowOthers(t *testing.T) {
	b := start(t, listen.Config{})
	assert.True(t, quickly(func() bool {
		var honest []*sender
		for range 10 {
			d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
			honest = append(honest, slowSender(t, b, d, ""))
		}
		for range 80 {
			slowSender(t, b, &webhooktest.Delivery{Header: http.Header{}, Body: []byte("{}")}, "")
		}
		for _, h := range honest {
			if h.finish() != http.StatusOK {
				return false
			}
		}
		return true
	}))
}

// TestBusyProgram: deliveries that wait for the local program take no slot of those that
// arrive, and their number is bounded.
func TestBusyProgram(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL})
	release := make(chan struct{})
	p.set(func(http.ResponseWriter, *http.Request) { <-release })
	statuses := make(chan int, 70)
	for range 70 {
		go func() { statuses <- b.deliver(webhooktest.New("x", signer)).StatusCode }()
	}
	for range 6 {
		assert.Equal(t, http.StatusServiceUnavailable, <-statuses)
	}
	forged := webhooktest.New("x", signer).WrongSecret()
	assert.Equal(t, http.StatusBadRequest, b.deliver(forged).StatusCode)
	close(release)
	for range 64 {
		assert.Equal(t, http.StatusOK, <-statuses)
	}
}

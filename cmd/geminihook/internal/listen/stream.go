package listen

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	maxStreams    = 32               // event streams and waits at once
	heartbeat     = 15 * time.Second // shows that the stream lives
	streamTimeout = 10 * time.Second // for the browser to take a message
)

// message is what a stream sends after each change.
type message struct {
	change
	Fault fault  `json:"fault"`
	Run   string `json:"run"` // changes when the command is started again
}

// enter takes one of the places for streams and waits.
func (p *page) enter() bool {
	select {
	case p.streams <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p *page) leave() { <-p.streams }

// stream sends what has changed, as server-sent events. There is no queue: a
// slow browser gets fewer and larger messages. The first one has everything,
// because a browser that reconnects may have missed anything.
func (p *page) stream(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		fail(w, http.StatusServiceUnavailable, "too many pages are open")
		return
	}
	defer p.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	// Without this, the context would end at the deadline as if the browser had gone.
	_ = rc.SetReadDeadline(time.Time{})
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	event, version := "reset", int64(-1)
	for {
		news, changed := p.receiver.store.since(version)
		if p.send(w, rc, event, news) != nil {
			return
		}
		event, version = "change", news.Version
		select {
		case <-changed:
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// send sends one message within a deadline, so that a browser that has stopped
// reading does not hold its place.
func (p *page) send(
	w http.ResponseWriter, rc *http.ResponseController, event string, news change,
) error {
	data, err := json.Marshal(message{
		change: news, Fault: p.receiver.faults.get(), Run: p.token[:8],
	})
	if err != nil {
		return err
	}
	if err := rc.SetWriteDeadline(time.Now().Add(streamTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data); err != nil {
		return err
	}
	return rc.Flush()
}

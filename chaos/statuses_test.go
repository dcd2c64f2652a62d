package chaos_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// statuses is what receivers responded with.
type statuses struct {
	mu      sync.Mutex
	unknown map[string]bool // ids that the table does not know yet
	early   int             // how many times the status was 503 for one of these
	foreign []string        // the events of others for which the status was 5xx
}

func (s *statuses) setUnknown(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unknown == nil {
		s.unknown = map[string]bool{}
	}
	s.unknown[id] = true
}

func (s *statuses) setKnown(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unknown, id)
}

// note notes the status of the response to a body.
func (s *statuses) note(body []byte, status int) {
	ev, err := geminihook.ParseUnverified(body)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if status < http.StatusInternalServerError {
		return
	}
	if strings.Contains(ev.JobID(), "foreign") {
		s.foreign = append(s.foreign, ev.JobID())
	}
	if s.unknown[ev.JobID()] {
		s.early++
	}
}

// forward signs each request by the injected clock and sends it to one of the
// processes.
func (s *sweeps) forward(client *http.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d := webhooktest.NewBody(body)
		d.SetID(r.Header.Get("webhook-id"))
		d.Sign(shifted(s.clock), webhooktest.Static(webhooktest.TestSecret))
		out, err := d.ClientRequest("http://" + s.processes[rand.IntN(len(s.processes))].addr)
		if err != nil {
			panic(err)
		}
		response, err := client.Do(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		s.statuses.note(body, response.StatusCode)
		w.WriteHeader(response.StatusCode)
	})
}

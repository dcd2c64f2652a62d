package chaos_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run lets the events arrive while the store goes away and comes back, and waits until
// all have been handled.
func (s *storm) run(t *testing.T) {
	t.Helper()
	go s.arrive()
	<-time.After(s.outage / 10)
	outage := s.store.hang(t)
	<-time.After(s.outage / 2)
	outage.kill(t)
	<-time.After(s.outage / 2)
	outage.end(t)
	s.back = time.Now()
	select {
	case <-s.ended:
	case <-time.After(10*time.Minute + 20*s.outage):
	}
	require.Zero(t, s.left.Load(), "events that were never acknowledged")
	for _, receiver := range s.receivers {
		receiver.Close() // waits for requests whose senders have left
	}
}

// arrive makes the events due one after the other, at a constant rate.
func (s *storm) arrive() {
	start := time.Now()
	total := s.outage + s.outage/10
	for i, e := range s.events {
		<-time.After(time.Until(start.Add(total * time.Duration(i) / time.Duration(len(s.events)))))
		s.due <- e
	}
}

// check counts the effects of each event. In a transaction there is one. Otherwise, an
// event runs again only if a sender did not get the response to an earlier run.
func (s *storm) check(t *testing.T) {
	t.Helper()
	var committed map[string]int
	if s.store.effects != nil {
		committed = s.store.effects()
		assert.Len(t, committed, len(s.events), "events with effects in the database")
	}
	for _, e := range s.events {
		id := e.delivery.ID()
		assert.False(t, e.missing, "%s was acknowledged before its effect was there", id)
		assert.False(t, e.overlap, "two runs of %s at once", id)
		if s.store.effects != nil {
			assert.Equal(t, 1, committed[id], "effects of %s", id)
			continue
		}
		assert.LessOrEqual(t, e.runs, 1+e.unanswered, "runs of %s", id)
	}
}

// summary is what happened, with the times since the store was back.
func (s *storm) summary() string {
	var handled []time.Duration // of the events that waited then
	attempts, runs := 0, 0
	perSecond := map[int]int{}
	for _, e := range s.events {
		attempts += e.attempts
		runs += e.runs
		after := e.handled.Sub(s.back)
		if after > 0 {
			handled = append(handled, after)
			perSecond[int(after/time.Second)]++
		}
	}
	slices.Sort(handled)
	busiest := 0
	for _, n := range perSecond {
		busiest = max(busiest, n)
	}
	at := func(percent int) time.Duration {
		return handled[(len(handled)-1)*percent/100].Round(100 * time.Millisecond)
	}
	text := fmt.Sprintf("events %d, attempts %d: 200 %d, 503 %d, 500 %d, no response %d",
		len(s.events), attempts, s.statuses[http.StatusOK].Load(),
		s.statuses[http.StatusServiceUnavailable].Load(),
		s.statuses[http.StatusInternalServerError].Load(), s.statuses[0].Load())
	text += fmt.Sprintf("; waiting when the store was back %d, of these half handled after %v, "+
		"99 %% after %v, all after %v, in the busiest second %d",
		len(handled), at(50), at(99), at(100), busiest)
	return text + fmt.Sprintf("; lost 0, marks lost %d, runs beyond the first %d",
		s.marks.Load(), runs-len(s.events))
}

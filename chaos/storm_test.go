package chaos_test

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

// TestRetryStorm: events arrive at a constant rate, and for a while the store is
// away. During the first half of that it hangs, and at the end of the first half it is
// killed. The senders repeat with growing waits, and no event is lost.
//
// STORM_EVENTS says how many events arrive while the store is away, and STORM_OUTAGE how
// long that is. The waits are in proportion to it: 5 seconds at first for a minute. If
// STORM_EVENTS is set, all stores take their turns. STORM_LIMIT says how many requests a
// receiver handles at a time; it responds to others with 503. Zero means that there is no
// limit.
func TestRetryStorm(t *testing.T) {
	t.Parallel()
	events, err := strconv.Atoi(cmp.Or(os.Getenv("STORM_EVENTS"), "2000"))
	require.NoError(t, err)
	outage, err := time.ParseDuration(cmp.Or(os.Getenv("STORM_OUTAGE"), "2s"))
	require.NoError(t, err)
	limit, err := strconv.Atoi(cmp.Or(os.Getenv("STORM_LIMIT"), "0"))
	require.NoError(t, err)
	all := os.Getenv("STORM_EVENTS") != ""
	kinds := []string{"redis", "pgstore transactional"}
	if all {
		kinds = stormKinds
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			if !all {
				t.Parallel() // they wait more than they work
			}
			s := newStorm(t, openStormStore(t, kind), events, outage, limit)
			s.run(t)
			s.check(t)
			t.Log(kind + ": " + s.summary())
		})
	}
}

// storm is the senders and the receivers of a retry storm.
type storm struct {
	store     *stormStore
	outage    time.Duration
	receivers []*httptest.Server
	client    *http.Client
	secret    string

	events []*stormEvent
	due    chan *stormEvent // has room for all, so that nobody waits to put one in
	left   atomic.Int64
	ended  chan struct{} // closed when none is left
	back   time.Time     // when the store was back

	statuses [600]atomic.Int64 // attempts, by the status of the response; 0 if there was none
	marks    atomic.Int64      // handled, but the mark was lost
}

// stormEvent is an event and its sender. Its first fields belong to the sender, which
// makes one attempt at a time.
type stormEvent struct {
	delivery   *webhooktest.Delivery
	wait       time.Duration // before the next attempt
	attempts   int
	unanswered int       // attempts without a response
	handled    time.Time // when it was acknowledged
	missing    bool      // whether its effect was not there then

	mu      sync.Mutex
	active  int // runs of the function now
	runs    int // runs that returned nil
	overlap bool
}

func newStorm(
	t *testing.T, store *stormStore, events int, outage time.Duration, limit int,
) *storm {
	t.Helper()
	events += events / 10 // that arrive before the outage, at the same rate
	// Of those that arrive while the store hangs, each waits for a response for seconds.
	senders := min(events/4, 2000)
	s := &storm{
		store: store, outage: outage, secret: webhooktest.RandomSecret(),
		client: &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: senders},
		},
		due: make(chan *stormEvent, events), ended: make(chan struct{}),
	}
	t.Cleanup(s.client.CloseIdleConnections)
	signer := webhooktest.Static(s.secret)
	byID := map[string]*stormEvent{}
	for range events {
		e := &stormEvent{
			delivery: webhooktest.New(geminihook.EventBatchSucceeded, signer), wait: outage / 12,
		}
		s.events = append(s.events, e)
		byID[e.delivery.ID()] = e
	}
	s.left.Store(int64(events))
	for _, endpoint := range store.endpoints {
		receiver := limited(limit, s.receiver(t, endpoint, byID))
		s.receivers = append(s.receivers, httptest.NewServer(receiver))
	}
	for range senders {
		go s.send(t.Context())
	}
	return s
}

// receiver completes the endpoint and returns its handler.
func (s *storm) receiver(
	t *testing.T, endpoint *geminihook.Endpoint, byID map[string]*stormEvent,
) http.Handler {
	t.Helper()
	verifier, err := geminihook.NewHMAC(s.secret)
	require.NoError(t, err)
	endpoint.Verifier = verifier
	endpoint.Logger = slog.New(slog.DiscardHandler)
	endpoint.Lease = max(s.outage/2, 10*time.Second)
	endpoint.Observe = func(_ context.Context, o geminihook.Outcome) {
		if o.Result == geminihook.Processed && o.Err != nil {
			s.marks.Add(1)
		}
	}
	return endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		return byID[ev.ID].run(func() error { return s.store.effect(ctx, ev.ID) })
	})
}

// limited responds with 503 to requests beyond the limit.
func limited(limit int, handler http.Handler) http.Handler {
	if limit == 0 {
		return handler
	}
	slots := make(chan struct{}, limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			handler.ServeHTTP(w, r)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

// run is the function. It counts the runs that return nil, and notes if two are
// active at once.
func (e *stormEvent) run(effect func() error) error {
	e.mu.Lock()
	e.active++
	e.overlap = e.overlap || e.active > 1
	e.mu.Unlock()
	err := effect()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active--
	if err == nil {
		e.runs++
	}
	return err
}

// send makes attempts for events that are due. The event of one that fails is due
// again after a wait, which doubles each time. Half of it is random, so that the
// retries do not all come at the same moment.
func (s *storm) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.due:
			if s.attempt(ctx, e) {
				s.acknowledged(ctx, e)
				continue
			}
			pause := e.wait/2 + rand.N(e.wait/2)
			e.wait *= 2
			time.AfterFunc(pause, func() { s.due <- e })
		}
	}
}

// attempt sends the event to one of the receivers, and reports whether the response
// is 2xx.
func (s *storm) attempt(ctx context.Context, e *stormEvent) bool {
	e.attempts++
	e.delivery.Sign(time.Now())
	receiver := s.receivers[rand.IntN(len(s.receivers))]
	request, err := e.delivery.ClientRequest(receiver.URL)
	if err != nil {
		panic(err)
	}
	response, err := s.client.Do(request.WithContext(ctx))
	if err != nil {
		e.unanswered++
		s.statuses[0].Add(1)
		return false
	}
	_ = response.Body.Close() // it is empty
	s.statuses[response.StatusCode].Add(1)
	return response.StatusCode/100 == 2
}

// acknowledged looks for the effect of an event that was acknowledged: always in
// memory, and in the store's database for one event in 50, so that the storm is not
// one of reads.
func (s *storm) acknowledged(ctx context.Context, e *stormEvent) {
	e.handled = time.Now()
	e.mu.Lock()
	e.missing = e.runs == 0
	e.mu.Unlock()
	if s.store.committed != nil && rand.IntN(50) == 0 {
		there, err := s.store.committed(ctx, e.delivery.ID())
		e.missing = e.missing || err != nil || !there
	}
	if s.left.Add(-1) == 0 {
		close(s.ended)
	}
}

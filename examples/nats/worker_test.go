package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// event returns an event with the given ID.
func event(id string) *geminihook.Event {
	ev, err := geminihook.ParseUnverified(webhooktest.Body(geminihook.EventVideoGenerated))
	if err != nil {
		panic(err)
	}
	ev.ID = id
	return ev
}

// message is a message whose acknowledgements the test sees.
type message struct {
	jetstream.Msg
	attempt uint64

	progress []time.Time
	acked    int
	naks     []time.Duration
}

func (m *message) Data() []byte {
	b, err := event("msg_1").MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}

func (m *message) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{NumDelivered: m.attempt}, nil
}

func (m *message) InProgress() error {
	m.progress = append(m.progress, time.Now())
	return nil
}
func (m *message) DoubleAck(context.Context) error { m.acked++; return nil }
func (m *message) NakWithDelay(d time.Duration) error {
	m.naks = append(m.naks, d)
	return nil
}

// TestInProgress checks that the server is told often enough that a long run is
// in progress, and that this ends with the run.
func TestInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		every := heartbeat(jetstream.ConsumerConfig{AckWait: ackWait})
		m := &message{attempt: 1}
		start := time.Now()
		w := &worker{fn: func(context.Context, *geminihook.Event, uint64) error {
			<-time.After(10*ackWait + time.Second)
			return nil
		}}
		require.NoError(t, w.take(t.Context(), m, every))
		end := time.Now()
		<-time.After(10 * ackWait)
		synctest.Wait()
		assert.Equal(t, 1, m.acked)
		assert.Empty(t, m.naks)
		last := start
		for _, at := range append(m.progress, end) {
			assert.LessOrEqual(t, at.Sub(last), ackWait/2, "between two signs of life")
			last = at
		}
		assert.Equal(t, end, last, "no sign of life after the end of the run")
	})
}

// TestRunLimit checks that a function that never returns loses its event.
func TestRunLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &message{attempt: 1}
		start, last := time.Now(), make(chan time.Time, 1)
		w := &worker{fn: func(ctx context.Context, _ *geminihook.Event, _ uint64) error {
			<-ctx.Done()
			last <- time.Now()
			<-time.After(time.Hour) // ignores the end of its context
			return ctx.Err()
		}}
		require.ErrorIs(t, w.take(t.Context(), m, time.Second), context.DeadlineExceeded)
		synctest.Wait()
		assert.Equal(t, runLimit, (<-last).Sub(start))
		assert.LessOrEqual(t, m.progress[len(m.progress)-1].Sub(start), runLimit)
	})
}

func TestDelays(t *testing.T) {
	failure := errors.New("the result is not available yet")
	for attempt, want := range map[uint64]time.Duration{
		1: time.Second,
		2: 5 * time.Second,
		3: 30 * time.Second,
		4: 5 * time.Minute,
		8: 5 * time.Minute,
	} {
		m := &message{attempt: attempt}
		w := &worker{fn: func(context.Context, *geminihook.Event, uint64) error { return failure }}
		require.ErrorIs(t, w.take(t.Context(), m, time.Hour), failure)
		assert.Equal(t, []time.Duration{want}, m.naks)
		assert.Zero(t, m.acked)
	}
}

func TestHeartbeat(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config jetstream.ConsumerConfig
		want   time.Duration
	}{
		{"acknowledgement wait", jetstream.ConsumerConfig{AckWait: 3 * time.Minute}, time.Minute},
		{"back-off replaces it", jetstream.ConsumerConfig{AckWait: time.Hour, BackOff: []time.Duration{3 * time.Second, 9 * time.Second}}, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, heartbeat(tt.config))
		})
	}
}

// TestRunsOnce checks on a real server that no event is handed out twice,
// although it runs, or waits for its run, longer than the server waits for an
// acknowledgement. A machine that stops for longer than that can hand one out
// twice with correct code, so the test observes again.
func TestRunsOnce(t *testing.T) {
	const wait = 2 * time.Second
	for _, tt := range []struct {
		name   string
		events int
		takes  time.Duration
	}{
		{"five long runs", 5, 2*wait + wait/2},
		{"300 waiting events", 300, 100 * time.Millisecond}, // eight at a time: 3.8 s
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var runs int
			for range 5 {
				if runs = countRuns(t, wait, tt.events, tt.takes); runs == tt.events {
					return
				}
			}
			t.Errorf("%d events were handled %d times", tt.events, runs)
		})
	}
}

// countRuns handles new events, and returns the number of runs when all are
// acknowledged.
func countRuns(t *testing.T, wait time.Duration, events int, takes time.Duration) (runs int) {
	t.Helper()
	js := newServer(t)
	stream, err := openStream(t.Context(), js)
	require.NoError(t, err)
	for n := range events {
		require.NoError(t, publish(t.Context(), js, event(fmt.Sprint("msg_", n))))
	}
	var mu sync.Mutex
	w := &worker{ackWait: wait, fn: func(context.Context, *geminihook.Event, uint64) error {
		mu.Lock()
		runs++
		mu.Unlock()
		<-time.After(takes)
		return nil
	}}
	stop, err := w.start(t.Context(), stream)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		consumer, err := stream.Consumer(t.Context(), consumerName)
		if err != nil {
			return false
		}
		info := consumer.CachedInfo()
		return info.AckFloor.Stream == uint64(events) && info.NumPending == 0 &&
			info.NumAckPending == 0
	}, time.Minute, 50*time.Millisecond)
	stop()
	mu.Lock()
	defer mu.Unlock()
	return runs
}

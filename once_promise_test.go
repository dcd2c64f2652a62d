package geminihook_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trouble is a store for two endpoints that is cut off, is slow or hangs at random. A
// call may fail before or after the store has carried it out, and take longer than
// a lease.
type trouble struct {
	geminihook.MemoryStore
	mu     sync.Mutex
	random *rand.Rand
	cut    time.Time // until when nothing reaches the store
}

// pass lets a call's way to or from the store take its time.
func (s *trouble) pass(ctx context.Context) error {
	s.mu.Lock()
	now := time.Now()
	if s.random.IntN(200) == 0 {
		s.cut = now.Add(time.Duration(s.random.IntN(90)) * time.Second)
	}
	delay := time.Duration(1+s.random.IntN(100)) * time.Millisecond
	switch s.random.IntN(20) {
	case 0:
		delay = time.Duration(s.random.IntN(40)) * time.Second
	case 1:
		delay = 24 * time.Hour
	}
	away := now.Before(s.cut)
	deaf := s.random.IntN(10) == 0 // the driver ignores its context, as long as a minute
	s.mu.Unlock()
	if deaf {
		letPass(min(delay, time.Minute))
	} else {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if away {
		return errStoreAway
	}
	return nil
}

// call carries out do between a way to the store and a way back.
func (s *trouble) call(ctx context.Context, do func(ctx context.Context) error) error {
	if err := s.pass(ctx); err != nil {
		return err
	}
	if err := do(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return s.pass(ctx)
}

func (s *trouble) Claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	var claim geminihook.Claim
	err := s.call(ctx, func(ctx context.Context) (err error) {
		claim, err = s.MemoryStore.Claim(ctx, key, token, lease, keep)
		return err
	})
	return claim, err
}

func (s *trouble) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	return s.call(ctx, func(ctx context.Context) error {
		return s.MemoryStore.Renew(ctx, key, token, lease)
	})
}

func (s *trouble) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return s.call(ctx, func(ctx context.Context) error {
		return s.MemoryStore.Complete(ctx, key, token, keep)
	})
}

func (s *trouble) Release(ctx context.Context, key, token string) error {
	return s.call(ctx, func(ctx context.Context) error {
		return s.MemoryStore.Release(ctx, key, token)
	})
}

// promiseEvents is how many events TestOneRunAtATime processes. "make chaos" takes
// 10,000. With the race detector, which does not survive hundreds of thousands of
// timers in synctest's bubbles (Go 1.26), it takes few.
func promiseEvents(t *testing.T) int {
	text := os.Getenv("PROMISE_EVENTS")
	switch {
	case text != "":
	case raceEnabled:
		return 50
	default:
		return 1000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// TestOneRunAtATime: two endpoints process events, each delivered to both and again
// until it is done, with a store in trouble. No event ever has two runs whose
// contexts have not ended, and each is handled.
func TestOneRunAtATime(t *testing.T) {
	const atOnce = 50
	for batch := range promiseEvents(t) / atOnce {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(batch), 1))
			store := &trouble{random: rand.New(rand.NewPCG(uint64(batch), 2))}
			var wg sync.WaitGroup
			for i := range atOnce {
				id := fmt.Sprintf("msg_%d_%d", batch, i)
				live := &liveRuns{t: t, id: id}
				for range 2 {
					e := &geminihook.Endpoint{Store: store, Logger: slog.New(slog.DiscardHandler)}
					run := time.Duration(random.IntN(59)) * time.Second
					wg.Go(func() { deliverUntilDone(t, e, id, live.run(run)) })
				}
			}
			wg.Wait()
			letPass(48 * time.Hour) // until calls in the background have ended
		})
	}
}

// deliverUntilDone delivers an event as Google does, until it is acknowledged.
func deliverUntilDone(t *testing.T, e *geminihook.Endpoint, id string, fn function) {
	for range 1000 {
		ev := newEvent(t)
		ev.ID = id
		if e.Process(t.Context(), ev, fn).Status == 200 {
			return
		}
		letPass(7 * time.Second)
	}
	t.Errorf("%s was never handled", id)
}

// liveRuns has the contexts of an event's runs.
type liveRuns struct {
	t        *testing.T
	id       string
	mu       sync.Mutex
	contexts []context.Context
}

// run returns a function that takes a time, unless its context ends. It must not
// begin before the contexts of all runs before it have ended.
func (l *liveRuns) run(takes time.Duration) function {
	return func(ctx context.Context, _ *geminihook.Event) error {
		l.mu.Lock()
		for _, other := range l.contexts {
			assert.Error(l.t, other.Err(), "a second run of %s", l.id)
		}
		l.contexts = append(l.contexts, ctx)
		l.mu.Unlock()
		return work(takes)(ctx, nil)
	}
}

package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/migrate"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // failures are expected
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(server.Main(m))
}

// step is one of the programs.
type step = func(string, *redis.Client, migrate.Work) (http.Handler, error)

// effects are what the work has done, by job.
type effects struct {
	mu   sync.Mutex
	done map[string]int
}

// work fails every third time, after a while.
func (e *effects) work(_ context.Context, _, job string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if rand.IntN(3) == 0 {
		return errors.New("the work has failed")
	}
	e.done[job]++
	return nil
}

// balancer passes each request to one of two instances.
type balancer struct {
	instances atomic.Pointer[[2]http.Handler]
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.instances.Load()[rand.IntN(2)].ServeHTTP(w, r)
}

func newClient(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(server.Redis(t).URL)
	require.NoError(t, err)
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestSteps replaces one instance after the other, step by step, while deliveries are
// under way, some of them twice. Each event is handled once.
func TestSteps(t *testing.T) {
	client := newClient(t)
	effects := &effects{done: map[string]int{}}
	start := func(s step) http.Handler {
		handler, err := s(webhooktest.TestSecret, client, effects.work)
		require.NoError(t, err)
		return handler
	}
	steps := []step{migrate.Before, migrate.Received, migrate.Both, migrate.After}
	balancer := &balancer{}
	balancer.instances.Store(&[2]http.Handler{start(steps[0]), start(steps[0])})
	var senders sync.WaitGroup
	var sent atomic.Int64
	send := func() {
		senders.Go(func() {
			sender := &webhooktest.Sender{
				Handler: balancer, Signers: []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)},
				FirstRetry: time.Millisecond, MaxRetry: 20 * time.Millisecond, Duplicates: 0.5,
			}
			var wave []*webhooktest.Delivery
			for range 50 {
				job := fmt.Sprintf("batches/%d", sent.Add(1))
				d := webhooktest.NewData(&geminihook.BatchSucceeded{ID: job})
				wave = append(wave, d)
			}
			report, err := sender.Deliver(t.Context(), wave...)
			assert.NoError(t, err)
			assert.Empty(t, report.Lost)
		})
	}
	for i := 1; i < len(steps); i++ {
		older, newer := start(steps[i-1]), start(steps[i])
		for _, instances := range [][2]http.Handler{{older, older}, {older, newer}, {newer, newer}} {
			send()
			balancer.instances.Store(&instances)
			send()
		}
		if i == 2 { // 24 hours pass before the last step
			senders.Wait()
		}
	}
	senders.Wait()
	effects.mu.Lock()
	defer effects.mu.Unlock()
	assert.Len(t, effects.done, int(sent.Load()))
	for job, n := range effects.done {
		assert.Equal(t, 1, n, job)
	}
}

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOneRun: two endpoints get the same events, and each reaches their store
// through a proxy that is cut, held and slowed at random. The function returns when
// its context ends. Then at most one run of an event is active at a time, and no
// event is lost.
func TestOneRun(t *testing.T) {
	t.Parallel() // it waits for leases
	for name, open := range map[string]func(*testing.T) (*testserver.Server, openShared){
		"redis":    openSharedRedis,
		"postgres": openSharedPostgres,
	} {
		t.Run(name, func(t *testing.T) { oneRun(t, name, open) })
	}
}

// openShared opens a store that reaches the server at the given URL.
type openShared func(t *testing.T, url string) geminihook.Store

func openSharedRedis(t *testing.T) (*testserver.Server, openShared) {
	t.Helper()
	return testserver.NewRedis(t), func(t *testing.T, url string) geminihook.Store {
		options, err := redis.ParseURL(url)
		require.NoError(t, err)
		options.ContextTimeoutEnabled = true
		client := redis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		return redisstore.New(client)
	}
}

func openSharedPostgres(t *testing.T) (*testserver.Server, openShared) {
	t.Helper()
	server := testserver.NewPostgres(t)
	open := func(t *testing.T, url string) geminihook.Store {
		config, err := pgxpool.ParseConfig(url)
		require.NoError(t, err)
		config.MaxConns = 16
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pgstore.New(pool)
	}
	pool, err := pgxpool.New(t.Context(), server.URL)
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, pgstore.New(pool).Migrate(t.Context()))
	return server, open
}

func oneRun(t *testing.T, name string, open func(*testing.T) (*testserver.Server, openShared)) {
	const events, atOnce, lostLeases = 300, 30, 3
	server, openStore := open(t)
	observed := &runs{latest: map[string]*liveRun{}, count: map[string]int{}}
	var endpoints []*geminihook.Endpoint
	var proxies []*testserver.Proxy
	for range 2 {
		proxy := testserver.NewProxy(t, server.Addr)
		url := strings.Replace(server.URL, server.Addr, proxy.Addr, 1)
		proxies = append(proxies, proxy)
		endpoints = append(endpoints, &geminihook.Endpoint{
			Store:        openStore(t, url),
			Lease:        lease,
			StoreTimeout: lease / 2,
			Logger:       slog.New(slog.DiscardHandler),
		})
	}
	handled := make(chan struct{})
	var disturbing sync.WaitGroup
	for _, proxy := range proxies {
		disturbing.Go(func() { disturbProxy(proxy, handled) })
	}
	slots := make(chan struct{}, atOnce)
	var handling sync.WaitGroup
	made := 0
	for ; made < events || observed.undecided(lostLeases); made++ {
		slots <- struct{}{}
		ev := &geminihook.Event{ID: fmt.Sprintf("msg_%06d", made)}
		handling.Go(func() {
			for _, endpoint := range endpoints {
				handling.Go(func() { processUntilDone(endpoint, ev, observed.run) })
			}
			processUntilDone(endpoints[0], ev, observed.run)
			<-slots
		})
	}
	handling.Wait()
	close(handled)
	disturbing.Wait()
	observed.check(t, made)
	t.Logf("%s: events %d, runs %d, runs that lost their lease %d; "+
		"the longest that a context outlived the next run's beginning was %v",
		name, made, observed.begun, observed.lost, observed.longest)
}

// processUntilDone delivers an event again and again until it is acknowledged, as
// Google does.
func processUntilDone(
	endpoint *geminihook.Endpoint, ev *geminihook.Event,
	fn func(context.Context, *geminihook.Event) error,
) {
	for endpoint.Process(context.Background(), ev, fn).Status != 200 {
		<-time.After(time.Duration(20+rand.IntN(200)) * time.Millisecond)
	}
}

// disturbProxy does one thing after the other to a proxy until done is closed.
func disturbProxy(proxy *testserver.Proxy, done <-chan struct{}) {
	pause := func(atMost time.Duration) {
		select {
		case <-time.After(rand.N(atMost)):
		case <-done:
		}
	}
	for {
		select {
		case <-done:
			return
		default:
		}
		switch rand.IntN(3) {
		case 0:
			proxy.Cut()
		case 1:
			release := proxy.Hold()
			pause(2 * lease)
			release()
		default:
			proxy.Slow(rand.N(lease / 4))
			pause(lease)
			proxy.Slow(0)
		}
		pause(lease / 2)
	}
}

// runs observes all runs of the function.
type runs struct {
	mu      sync.Mutex
	latest  map[string]*liveRun // by event
	count   map[string]int      // of runs that succeeded, by event
	begun   int
	lost    int           // runs that ended because the lease was lost
	longest time.Duration // that a context outlived the beginning of the next run
	broken  []string      // events of which two runs were active at once
}

// liveRun is a run of which it is known when its context has ended or it has
// returned.
type liveRun struct{ ended chan struct{} }

// run is the function. Most runs are short, and some outlast several leases.
func (r *runs) run(ctx context.Context, ev *geminihook.Event) error {
	done := r.begin(ctx, ev.ID)
	defer done()
	work := rand.N(30 * time.Millisecond)
	if rand.IntN(5) == 0 {
		work = rand.N(3 * lease)
	}
	select {
	case <-time.After(work):
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		if errors.Is(context.Cause(ctx), geminihook.ErrLeaseLost) {
			r.lost++
		}
		return context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count[ev.ID]++
	return nil
}

// begin notes that a run has begun, and waits until the run of the same event that
// began before has ended. That takes no longer than the scheduler needs to run a
// timer, unless both are active.
func (r *runs) begin(ctx context.Context, id string) (done func()) {
	this := &liveRun{ended: make(chan struct{})}
	end := sync.OnceFunc(func() { close(this.ended) })
	stop := context.AfterFunc(ctx, end)
	r.mu.Lock()
	before := r.latest[id]
	r.latest[id] = this
	r.begun++
	r.mu.Unlock()
	if before != nil {
		r.await(id, before)
	}
	return func() {
		stop()
		end()
	}
}

func (r *runs) await(id string, before *liveRun) {
	start := time.Now()
	active := false
	select {
	case <-before.ended:
	case <-time.After(lease / 2):
		active = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.longest = max(r.longest, time.Since(start))
	if active {
		r.broken = append(r.broken, id)
	}
}

// undecided reports whether too few leases were lost for the test to mean anything,
// and it has not failed yet.
func (r *runs) undecided(lostLeases int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost < lostLeases && len(r.broken) == 0
}

// check fails the test if a run was beside another, or an event had no run that
// succeeded.
func (r *runs) check(t *testing.T, events int) {
	t.Helper()
	assert.Empty(t, r.broken, "events of which two runs were active at once")
	assert.Len(t, r.count, events, "events that were handled")
}

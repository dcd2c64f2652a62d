package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
)

// A storeKind is a store that is compared.
type storeKind struct {
	name string
	open openFunc
}

// openFunc starts a fresh store that has the given number of handled ids.
type openFunc func(dir string, ids int) (*openStore, error)

type openStore struct {
	store      geminihook.Store
	transactor geminihook.Transactor  // if not nil, it is measured in place of the store
	trips      *testserver.RoundTrips // nil if there is no connection to count on
	bytesPerID float64
	close      func()

	// bare does with the engine alone what an event needs at least: for a store,
	// it writes a key and changes it; for a Transactor, it writes a key.
	bare   func(ctx context.Context, key string) error
	insert func(ctx context.Context, key string) error // bare of a Transactor
}

var storeKinds = []storeKind{
	{"`MemoryStore`", openMemory},
	{"`redisstore`", openRedis},
	{"`pgstore`", openPostgres},
	{"`pgstore` as `Transactor`", transactional(openPostgres)},
	{"`sqlstore`, SQLite", openSQLite},
	{"`sqlstore`, SQLite, as `Transactor`", transactional(openSQLite)},
}

// storeCosts is what one kind of store costs.
type storeCosts struct {
	name       string
	event      []float64 // ns of claim and completion, or of the transaction, at each of idCounts
	engine     float64   // event ÷ what the engine alone needs, at the last of idCounts
	duplicate  float64   // ns of a claim that is Done, at the last of idCounts
	contended  float64   // ns of a claim that is InProgress, by 8 at once; 0 if not measured
	tripsEvent int       // -1 if there is no connection
	tripsAgain int
	bytesPerID float64
}

// handle takes a key all the way, and returns its state before.
func (s *openStore) handle(ctx context.Context, key string) geminihook.State {
	if s.transactor != nil {
		nothing := func(context.Context) error { return nil }
		state, err := s.transactor.Transact(ctx, key, time.Hour, nothing)
		must(err)
		return state
	}
	token := rand.Text()
	c, err := s.store.Claim(ctx, key, token, time.Minute, time.Hour)
	must(err)
	if c.State == geminihook.Acquired {
		must(s.store.Complete(ctx, key, token, time.Hour))
	}
	return c.State
}

func expect(got, want geminihook.State) {
	if got != want {
		must(fmt.Errorf("a claim was %v, but should be %v", got, want))
	}
}

// storage measures one kind of store, with each number of ids in turns.
func storage(rounds, n int, kind storeKind, idCounts []int) storeCosts {
	dir, err := os.MkdirTemp("", "bench-")
	must(err)
	defer func() { _ = os.RemoveAll(dir) }()
	// One context for all calls: a timer per call is not part of a store's cost.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	costs := storeCosts{name: kind.name, tripsEvent: -1, tripsAgain: -1}
	made := 0
	withNewKeys := func(run func(key string)) way {
		var keys []string
		return way{
			prepare: func(n int) {
				keys = make([]string, n)
				for i := range keys {
					keys[i] = newKey(made)
					made++
				}
			},
			run: func(i int) { run(keys[i]) },
		}
	}
	var ways []way
	var last *openStore
	for i, ids := range idCounts {
		s, err := kind.open(filepath.Join(dir, strconv.Itoa(i)), ids)
		must(err)
		defer s.close()
		last = s
		ways = append(ways, withNewKeys(func(key string) {
			expect(s.handle(ctx, key), geminihook.Acquired)
		}))
	}
	ways = append(ways, withNewKeys(func(key string) { must(last.bare(ctx, key)) }))
	for _, c := range compare(rounds, n, 1, ways) {
		costs.event = append(costs.event, c.ns)
	}
	engine := len(idCounts)
	costs.engine = costs.event[engine-1] / costs.event[engine]
	costs.event = costs.event[:engine]
	if last.trips != nil {
		last.trips.Count()
		expect(last.handle(ctx, "counted"), geminihook.Acquired)
		costs.tripsEvent = last.trips.Count()
		expect(last.handle(ctx, "counted"), geminihook.Done) // prepares its statements
		last.trips.Count()
		expect(last.handle(ctx, "counted"), geminihook.Done)
		costs.tripsAgain = last.trips.Count()
	}
	costs.bytesPerID = last.bytesPerID
	costs.duplicate = compare(rounds, n, 1, []way{{
		run: func(i int) { expect(last.handle(ctx, oldKey(i)), geminihook.Done) },
	}})[0].ns
	if last.transactor == nil {
		costs.contended = contended(ctx, rounds, n, last.store)
	}
	return costs
}

// contended is a claim of a key that another holds, by 8 workers at once.
func contended(ctx context.Context, rounds, n int, s geminihook.Store) float64 {
	c, err := s.Claim(ctx, "held", rand.Text(), time.Hour, time.Hour)
	must(err)
	expect(c.State, geminihook.Acquired)
	return compare(rounds, n, 8, []way{{run: func(int) {
		c, err := s.Claim(ctx, "held", rand.Text(), time.Minute, time.Hour)
		must(err)
		expect(c.State, geminihook.InProgress)
	}}})[0].ns
}

// newKey has the form and the length of the ids of Standard Webhooks' senders.
func newKey(i int) string { return fmt.Sprintf("msg_new%024d", i) }

func oldKey(i int) string { return fmt.Sprintf("msg_old%024d", i) }

package main

import (
	"context"
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
	// open starts a fresh store with so many handled ids in it. A nil
	// trips means that there is no connection to count on.
	open func(dir string, ids int) (*openStore, error)
}

type openStore struct {
	store      geminihook.Store
	trips      *testserver.RoundTrips
	bytesPerID float64
	close      func()
}

var storeKinds = []storeKind{
	{"`MemoryStore`", openMemory},
	{"`redisstore`", openRedis},
	{"`pgstore`", openPostgres},
	{"`pgstore`, `Transactional`", transactional(openPostgres)},
	{"`sqlitestore`", openSQLite},
	{"`sqlitestore`, `Transactional`", transactional(openSQLite)},
}

// storeCosts is what one kind of store costs.
type storeCosts struct {
	name       string
	event      []float64 // ns of claim and completion, or of the transaction, at each of idCounts
	duplicate  float64   // ns of a claim that is Done, at the last of idCounts
	contended  float64   // ns of a claim that is InProgress, by 8 at once; 0 where none is measured
	tripsEvent int       // -1 if there is no connection
	tripsAgain int
	bytesPerID float64
}

// handle takes a key all the way, and returns its state before.
func handle(ctx context.Context, s geminihook.Store, key string) geminihook.State {
	if tx, ok := s.(geminihook.Transactor); ok {
		state, err := tx.Transact(ctx, key, time.Hour, func(context.Context) error { return nil })
		must(err)
		return state
	}
	c, err := s.Claim(ctx, key, time.Minute, time.Hour)
	must(err)
	if c.State == geminihook.Acquired {
		must(s.Complete(ctx, key, c.Token, time.Hour))
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
	var ways []way
	var last *openStore
	for i, ids := range idCounts {
		s, err := kind.open(filepath.Join(dir, strconv.Itoa(i)), ids)
		must(err)
		defer s.close()
		last = s
		var keys []string
		ways = append(ways, way{
			prepare: func(n int) {
				keys = make([]string, n)
				for i := range keys {
					keys[i] = newKey(made)
					made++
				}
			},
			run: func(i int) { expect(handle(ctx, s.store, keys[i]), geminihook.Acquired) },
		})
	}
	for _, c := range compare(rounds, n, 1, ways) {
		costs.event = append(costs.event, c.ns)
	}
	if last.trips != nil {
		last.trips.Count()
		expect(handle(ctx, last.store, "counted"), geminihook.Acquired)
		costs.tripsEvent = last.trips.Count()
		expect(handle(ctx, last.store, "counted"), geminihook.Done)
		costs.tripsAgain = last.trips.Count()
	}
	costs.bytesPerID = last.bytesPerID
	costs.duplicate = compare(rounds, n, 1, []way{{
		run: func(i int) { expect(handle(ctx, last.store, oldKey(i)), geminihook.Done) },
	}})[0].ns
	if _, ok := last.store.(geminihook.Transactor); !ok {
		costs.contended = contended(ctx, rounds, n, last.store)
	}
	return costs
}

// contended is a claim of a key that another holds, by 8 workers at once.
func contended(ctx context.Context, rounds, n int, s geminihook.Store) float64 {
	c, err := s.Claim(ctx, "held", time.Hour, time.Hour)
	must(err)
	expect(c.State, geminihook.Acquired)
	return compare(rounds, n, 8, []way{{run: func(int) {
		c, err := s.Claim(ctx, "held", time.Minute, time.Hour)
		must(err)
		expect(c.State, geminihook.InProgress)
	}}})[0].ns
}

// newKey has the form and the length of the ids of Standard Webhooks' senders.
func newKey(i int) string { return fmt.Sprintf("msg_new%024d", i) }

func oldKey(i int) string { return fmt.Sprintf("msg_old%024d", i) }

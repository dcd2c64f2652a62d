package storetest

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	racers    = 8
	firstKeys = 10    // keys in the first round
	mostKeys  = 1_000 // in a round: a bounded store must be able to hold them in progress
)

// repeatRace races with ever more keys, at least once, as long as there is time for
// another round.
func (h *harness) repeatRace(race func(keys []string)) {
	h.t.Helper()
	defer h.keepBusy()()
	n, left := firstKeys, racing
	for round := 0; ; round++ {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("%s-%d-%d", key, round, i)
		}
		began := time.Now()
		race(keys)
		took := time.Since(began)
		left -= took
		if took > left {
			return
		}
		if took < left/4 {
			n = min(2*n, mostKeys)
		}
	}
}

// keepBusy keeps the store busy with duplicates until stop is called. Whatever
// makes the calls of a store wait for each other then has a queue, and a call
// that lets go between its check and its change goes to the end of it.
func (h *harness) keepBusy() (stop func()) {
	h.t.Helper()
	const done = key + "-done"
	duplicate := func(i int) { _, _ = h.handle(i).Claim(h.ctx, done, "another", long, day) }
	if h.first == nil {
		h.mustTransact(h.firstTransactor, done, day, "for a new key")
		duplicate = func(i int) { h.transact(h.ctx, h.transactor(i), done, day, succeed) }
	} else {
		h.mustComplete(done, day)
	}
	var stopped atomic.Bool
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() {
			for !stopped.Load() {
				duplicate(i)
			}
		})
	}
	return func() {
		stopped.Store(true)
		all.Wait()
	}
}

// inStep lets all racers do the same n things in the same order, each thing at
// the same time: the first to arrive waits for the others.
func inStep(racers, n int, do func(racer, i int)) {
	steps := make([]meeting, n)
	for i := range steps {
		steps[i].complete = make(chan struct{})
	}
	var all sync.WaitGroup
	for racer := range racers {
		all.Go(func() {
			for i := range n {
				steps[i].await(racers)
				do(racer, i)
			}
		})
	}
	all.Wait()
}

// meeting is a point at which racers wait for each other.
type meeting struct {
	arrived  atomic.Int32
	complete chan struct{} // closed by the last to arrive
}

// await spins at first, so that racers that arrive soon after each other go on at the
// same moment. If it takes longer, the others wait for a backend, which needs the
// processor, too.
func (m *meeting) await(racers int) {
	if int(m.arrived.Add(1)) == racers {
		close(m.complete)
		return
	}
	for range 1000 {
		if int(m.arrived.Load()) == racers {
			return
		}
		runtime.Gosched()
	}
	<-m.complete
}

// caller makes one call in a race, about the key with the index.
type caller func(store geminihook.Store, i int) call

// call is what became of it.
type call struct {
	claim claim
	err   error
}

// race makes the calls for each key at the same time. Which racer makes which
// call changes from key to key.
func (h *harness) race(keys []string, calls ...caller) [][]call {
	results := make([][]call, len(keys))
	for i := range results {
		results[i] = make([]call, len(calls))
	}
	inStep(len(calls), len(keys), func(racer, i int) {
		n := (racer + i) % len(calls)
		results[i][n] = calls[n](h.handle(racer), i)
	})
	return results
}

// withClaims returns calls that race with as many claims of the keys.
func (h *harness) withClaims(
	keys []string, do func(store geminihook.Store, i int) error,
) (calls []caller) {
	for range racers / 2 {
		calls = append(calls, func(store geminihook.Store, i int) call {
			return call{err: do(store, i)}
		})
	}
	for range racers / 2 {
		calls = append(calls, h.claimCall(keys))
	}
	return calls
}

// claimCall returns a caller that claims the keys.
func (h *harness) claimCall(keys []string) caller {
	return func(store geminihook.Store, i int) call {
		token := rand.Text()
		c, err := store.Claim(h.ctx, keys[i], token, long, long)
		return call{claim: claim{Claim: c, Token: token}, err: err}
	}
}

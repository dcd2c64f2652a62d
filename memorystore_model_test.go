package geminihook_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/require"
)

// modelEntry is what a slow and obvious MemoryStore knows about a key.
type modelEntry struct {
	key, token     string
	state          geminihook.State // zero for released
	attempt        int
	lease, expires time.Time
}

// model is a slow and obvious MemoryStore. Its entries are in the order in which
// their states changed.
type model struct {
	bound   int
	entries []modelEntry
	unsure  bool // it has evicted one of several claims that the store could have evicted
}

// take removes an entry and returns it.
func (m *model) take(match func(modelEntry) bool) (e modelEntry, ok bool) {
	i := slices.IndexFunc(m.entries, match)
	if i < 0 {
		return modelEntry{}, false
	}
	e = m.entries[i]
	m.entries = slices.Delete(m.entries, i, i+1)
	return e, true
}

func (m *model) add(e modelEntry) { m.entries = append(m.entries, e) }

func (m *model) forget(now time.Time) {
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool {
		return !e.expires.After(now)
	})
}

func (m *model) claim(
	now time.Time, key, token string, lease, keep time.Duration,
) (_ geminihook.Claim, full bool) {
	m.forget(now)
	i := slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.key == key })
	if i < 0 && len(m.entries) == m.bound && !m.evict(now) {
		return geminihook.Claim{}, true
	}
	e := modelEntry{key: key}
	if i >= 0 {
		e = m.entries[i]
	}
	repeated := e.state == geminihook.InProgress && e.token == token
	switch {
	case e.state == geminihook.Done:
		return geminihook.Claim{State: geminihook.Done}, false
	case e.state == geminihook.InProgress && !repeated && e.lease.After(now):
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: e.lease.Sub(now)}, false
	case !repeated:
		e.attempt++
	}
	m.take(func(other modelEntry) bool { return other.key == key })
	e.state, e.token = geminihook.InProgress, token
	e.lease, e.expires = now.Add(lease), now.Add(max(lease, keep))
	m.add(e)
	return geminihook.Claim{State: geminihook.Acquired, Attempt: e.attempt}, false
}

func (m *model) evict(now time.Time) bool {
	if _, ok := m.take(func(e modelEntry) bool { return e.state == 0 }); ok {
		return true
	}
	if _, ok := m.take(func(e modelEntry) bool { return e.state == geminihook.Done }); ok {
		return true
	}
	expired := func(e modelEntry) bool { return !e.lease.After(now) }
	_, ok := m.take(expired)
	m.unsure = ok && slices.ContainsFunc(m.entries, expired)
	return ok
}

// end completes, releases or renews, and reports whether the token had the key.
func (m *model) end(now time.Time, key, token string, change func(*modelEntry) bool) bool {
	m.forget(now)
	for i, e := range m.entries {
		if e.key != key || e.token != token || e.state == 0 {
			continue
		}
		before := e.state
		if !change(&e) {
			return false
		}
		if e.state == before {
			m.entries[i] = e
			return true
		}
		m.entries = slices.Delete(m.entries, i, i+1)
		m.add(e)
		return true
	}
	return false
}

// TestMemoryStoreModel makes random calls with few keys, tokens and places, and
// compares the results with those of the model.
func TestMemoryStoreModel(t *testing.T) {
	const calls = 30_000
	for _, bound := range []int{1, 3, 6} {
		random := rand.New(rand.NewPCG(1, uint64(bound)))
		m, want := newMemoryTest(t, bound), &model{bound: bound}
		duration := func() time.Duration { return time.Duration(random.IntN(20)) * time.Second }
		for i := range calls {
			m.clock.advance(time.Duration(random.IntN(3)) * time.Second)
			now := m.clock.Now()
			key, token := strconv.Itoa(random.IntN(8)), strconv.Itoa(random.IntN(3))
			lease, keep := duration(), duration()
			var got error
			var held bool
			switch random.IntN(6) {
			case 0:
				got = m.store.Renew(t.Context(), key, token, lease)
				held = want.end(now, key, token, func(e *modelEntry) bool {
					e.lease = now.Add(lease)
					if e.expires.Before(e.lease) {
						e.expires = e.lease
					}
					return e.state == geminihook.InProgress
				})
			case 1:
				got = m.store.Complete(t.Context(), key, token, keep)
				held = want.end(now, key, token, func(e *modelEntry) bool {
					if e.state == geminihook.InProgress {
						e.state, e.expires = geminihook.Done, now.Add(keep)
					}
					return true
				})
			case 2:
				got = m.store.Release(t.Context(), key, token)
				held = want.end(now, key, token, func(e *modelEntry) bool {
					wasClaimed := e.state == geminihook.InProgress
					e.state = 0
					return wasClaimed
				})
			default:
				got, err := m.store.Claim(t.Context(), key, token, lease, keep)
				claim, full := want.claim(now, key, token, lease, keep)
				if want.unsure {
					m, want = newMemoryTest(t, bound), &model{bound: bound}
				}
				require.Equal(t, full, err != nil, "call %d", i)
				require.Equal(t, claim, got, "call %d", i)
				continue
			}
			if held {
				require.NoError(t, got, "call %d", i)
			} else {
				require.ErrorIs(t, got, geminihook.ErrLeaseLost, "call %d", i)
			}
		}
	}
}

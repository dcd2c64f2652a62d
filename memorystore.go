package geminihook

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// MemoryStore is a [Store] for one process. It forgets everything when the
// process ends and is not shared with other instances. The zero MemoryStore is
// ready for use.
//
// It holds at most MaxEntries keys, at about 250 bytes each for keys of 40
// bytes. When full, it evicts a key that has expired, then one that was
// released, then the one that has been Done longest, then one whose lease has
// expired. It never evicts a key in progress; if there are only those, Claim
// fails. It starts no goroutine: keys that have expired are removed as others are
// claimed. Unless Now is set, leases go by the monotonic clock, so that setting
// the machine's clock does not end them.
//
// Do not change the fields after the first call, and do not copy a MemoryStore.
type MemoryStore struct {
	MaxEntries int              // zero means 100,000
	Now        func() time.Time // nil means time.Now

	mu             sync.Mutex
	entries        map[string]*entry
	expiry         expiryHeap // all entries
	released, done queue
}

var errFull = errors.New("geminihook: MemoryStore is full of events in progress: raise MaxEntries")

// The statuses of an entry.
const (
	added = iota // is about to be claimed
	claimed
	released
	done
)

type entry struct {
	key            string
	token          string    // the token of the claim that has the key or has completed it
	lease, expires time.Time // the ends of the lease and of the entry, monotonic
	before, after  *entry    // the neighbors in MemoryStore.released or done
	heapIndex      int       // the index in MemoryStore.expiry
	attempt        int32
	status         uint8
}

// Claim implements [Store].
func (m *MemoryStore) Claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clock(m.Now)
	m.forget(now)
	e := m.find(key, now)
	expires := now.Add(max(lease, keep))
	switch {
	case e == nil:
		if !m.makeRoom(now) {
			return Claim{}, errFull
		}
		e = m.add(key, expires)
	case e.status == done:
		return Claim{State: Done}, nil
	case e.status == claimed && e.token != token && e.lease.After(now):
		return Claim{State: InProgress, RetryIn: e.lease.Sub(now)}, nil
	}
	repeated := e.status == claimed && e.token == token
	if !repeated {
		e.attempt++
		e.token = strings.Clone(token)
	}
	e.lease = now.Add(lease)
	m.move(e, claimed, expires)
	return Claim{State: Acquired, Attempt: int(e.attempt)}, nil
}

// Renew implements [Store].
func (m *MemoryStore) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	return m.update(ctx, key, token, func(e *entry, now time.Time) error {
		if e.status != claimed {
			return ErrLeaseLost
		}
		e.lease = now.Add(lease)
		if e.expires.Before(e.lease) {
			m.move(e, claimed, e.lease)
		}
		return nil
	})
}

// Complete implements [Store].
func (m *MemoryStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return m.update(ctx, key, token, func(e *entry, now time.Time) error {
		if e.status == claimed {
			m.move(e, done, now.Add(keep))
		}
		return nil
	})
}

// Release implements [Store].
func (m *MemoryStore) Release(ctx context.Context, key, token string) error {
	return m.update(ctx, key, token, func(e *entry, _ time.Time) error {
		if e.status != claimed {
			return ErrLeaseLost
		}
		m.move(e, released, e.expires)
		return nil
	})
}

// update calls change for the entry that was claimed with the token. If there is
// none, it returns ErrLeaseLost.
func (m *MemoryStore) update(
	ctx context.Context, key, token string, change func(*entry, time.Time) error,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clock(m.Now)
	e := m.find(key, now)
	if e == nil || e.status == released || e.token != token {
		return ErrLeaseLost
	}
	return change(e, now)
}

// find returns the entry of the key, or nil if it is unknown or has expired. It
// removes one that has expired.
func (m *MemoryStore) find(key string, now time.Time) *entry {
	e := m.entries[key]
	if e != nil && !e.expires.After(now) {
		m.remove(e)
		return nil
	}
	return e
}

func (m *MemoryStore) add(key string, expires time.Time) *entry {
	if m.entries == nil {
		m.entries = make(map[string]*entry)
	}
	e := &entry{key: strings.Clone(key), expires: expires} // key may be part of something large
	m.entries[e.key] = e
	heap.Push(&m.expiry, e)
	return e
}

// move changes the status and the expiry of an entry.
func (m *MemoryStore) move(e *entry, status uint8, expires time.Time) {
	m.dequeue(e)
	e.status, e.expires = status, expires
	heap.Fix(&m.expiry, e.heapIndex)
	switch status {
	case released:
		m.released.push(e)
	case done:
		m.done.push(e)
	}
}

func (m *MemoryStore) remove(e *entry) {
	m.dequeue(e)
	heap.Remove(&m.expiry, e.heapIndex)
	delete(m.entries, e.key)
}

func (m *MemoryStore) dequeue(e *entry) {
	switch e.status {
	case released:
		m.released.remove(e)
	case done:
		m.done.remove(e)
	}
}

// forget removes up to two expired entries. A Claim adds at most one, so they
// cannot pile up.
func (m *MemoryStore) forget(now time.Time) {
	for range 2 {
		if len(m.expiry) > 0 && !m.expiry[0].expires.After(now) {
			m.remove(m.expiry[0])
		}
	}
}

// makeRoom evicts an entry if the store is full. It returns false if all are in
// progress. What has expired was removed before.
func (m *MemoryStore) makeRoom(now time.Time) bool {
	if len(m.entries) < cmp.Or(max(m.MaxEntries, 0), 100_000) {
		return true
	}
	if oldest := cmp.Or(m.released.first, m.done.first); oldest != nil {
		m.remove(oldest)
		return true
	}
	for _, e := range m.expiry {
		if !e.lease.After(now) {
			m.remove(e)
			return true
		}
	}
	return false
}

// expiryHeap is a [heap.Interface] of entries by when they expire.
type expiryHeap []*entry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push appends e, which is an *entry.
func (h *expiryHeap) Push(e any) {
	e.(*entry).heapIndex = len(*h)
	*h = append(*h, e.(*entry))
}

// Pop removes the last element.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// queue is a list of entries, the oldest first. With container/list, an entry
// would take 50 bytes more, which is a fifth of the whole.
type queue struct{ first, last *entry }

func (q *queue) push(e *entry) {
	e.before, e.after = q.last, nil
	if q.last == nil {
		q.first = e
	} else {
		q.last.after = e
	}
	q.last = e
}

func (q *queue) remove(e *entry) {
	if e.before == nil {
		q.first = e.after
	} else {
		e.before.after = e.after
	}
	if e.after == nil {
		q.last = e.before
	} else {
		e.after.before = e.before
	}
	e.before, e.after = nil, nil
}

// clock returns now(), or time.Now() if now is nil.
func clock(now func() time.Time) time.Time {
	if now != nil {
		return now()
	}
	return time.Now()
}

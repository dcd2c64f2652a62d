package geminihook

import (
	"cmp"
	"container/list"
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
// bytes. When full, it evicts a released key, then the one that has been Done
// longest, then one whose lease has expired. It never evicts a key in progress;
// if there are only those, Claim fails. It starts no goroutine: keys that have
// expired are removed as others are claimed. Unless Now is set, leases go by the
// monotonic clock, so that setting the machine's clock does not end them.
//
// Do not change the fields after the first call, and do not copy a MemoryStore.
type MemoryStore struct {
	MaxEntries int              // zero means 100,000
	Now        func() time.Time // nil means time.Now

	mu      sync.Mutex
	entries map[string]*entry
	queues  [3]list.List // of *entry by status, the oldest first
}

// The statuses of an entry, in the order in which entries are evicted.
const (
	released = iota
	done
	claimed
)

type entry struct {
	key            string
	status         uint8
	attempt        int32
	token          string
	lease, expires time.Time // when they end, with the monotonic clock's reading
	element        *list.Element
}

// Claim implements [Store].
func (m *MemoryStore) Claim(ctx context.Context, key, token string, lease, keep time.Duration) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clock(m.Now)
	m.expire(now)
	e := m.entries[key]
	if e == nil {
		if m.entries == nil {
			m.entries = make(map[string]*entry)
		}
		if len(m.entries) >= cmp.Or(max(m.MaxEntries, 0), 100_000) && !m.evict(now) {
			return Claim{}, errors.New("geminihook: MemoryStore is full of events in progress: raise MaxEntries")
		}
		e = &entry{key: strings.Clone(key)} // key may be part of something large
		m.entries[e.key] = e
	}
	switch {
	case !e.expires.After(now): // new, or expired but not yet removed
		e.attempt = 0
	case e.status == done:
		return Claim{State: Done}, nil
	case e.status == claimed && e.token == token:
		e.attempt--
	case e.status == claimed && e.lease.After(now):
		return Claim{State: InProgress, RetryIn: e.lease.Sub(now)}, nil
	}
	e.token = token
	e.attempt++
	e.lease, e.expires = now.Add(lease), now.Add(max(lease, keep))
	m.move(e, claimed)
	return Claim{State: Acquired, Attempt: int(e.attempt)}, nil
}

// Complete implements [Store].
func (m *MemoryStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	return m.update(ctx, key, token, func(e *entry, now time.Time) error {
		if e.status == claimed {
			e.expires = now.Add(keep)
			m.move(e, done)
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
		e.token = ""
		m.move(e, released)
		return nil
	})
}

// Renew implements [Store].
func (m *MemoryStore) Renew(ctx context.Context, key, token string, lease time.Duration) error {
	return m.update(ctx, key, token, func(e *entry, now time.Time) error {
		if e.status != claimed {
			return ErrLeaseLost
		}
		e.lease = now.Add(lease)
		if e.expires.Before(e.lease) {
			e.expires = e.lease
		}
		return nil
	})
}

// update calls change for the entry that was claimed with the token. If there is
// none, it returns ErrLeaseLost.
func (m *MemoryStore) update(ctx context.Context, key, token string, change func(*entry, time.Time) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := clock(m.Now)
	e := m.entries[key]
	if e == nil || e.token == "" || token != e.token || !e.expires.After(now) {
		return ErrLeaseLost
	}
	return change(e, now)
}

// move puts an entry at the end of a queue.
func (m *MemoryStore) move(e *entry, status uint8) {
	if e.element != nil {
		m.queues[e.status].Remove(e.element)
	}
	e.status, e.element = status, m.queues[status].PushBack(e)
}

func (m *MemoryStore) remove(e *entry) {
	m.queues[e.status].Remove(e.element)
	delete(m.entries, e.key)
}

// expire removes up to two expired entries from each queue. A Claim adds at most
// one, so they cannot pile up.
func (m *MemoryStore) expire(now time.Time) {
	for i := range m.queues {
		for range 2 {
			if front := m.queues[i].Front(); front != nil && !front.Value.(*entry).expires.After(now) {
				m.remove(front.Value.(*entry))
			}
		}
	}
}

// evict makes room for one entry. It returns false if all are in progress.
func (m *MemoryStore) evict(now time.Time) bool {
	for i := range m.queues {
		for element := m.queues[i].Front(); element != nil; element = element.Next() {
			if e := element.Value.(*entry); i != claimed || !e.lease.After(now) {
				m.remove(e)
				return true
			}
		}
	}
	return false
}

// clock returns now(), or time.Now() if now is nil.
func clock(now func() time.Time) time.Time {
	if now != nil {
		return now()
	}
	return time.Now()
}

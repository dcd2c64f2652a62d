package geminihook

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
)

// State is what a [Store] knows about a key.
type State int

// The states of a key. The zero State is none of them, so that a broken Store
// fails closed.
const (
	Acquired   State = iota + 1 // the caller holds the key now and runs the function
	InProgress                  // another claim holds it
	Done                        // the event was handled
)

// A Store remembers which events were handled and which are being handled. All
// instances that receive events for the same webhook share it. Package storetest
// checks a Store against this contract.
//
// Every method is atomic, safe for concurrent use by all who share the store, and
// bounded in time by its context. An error other than [ErrLeaseLost] means that
// the store failed, and says nothing about the event. Methods take durations, not
// times, because the store's own clock decides.
//
// A key is any text that an HTTP header can hold. A Store must accept keys of up
// to 1,024 bytes at least, and compare them byte for byte.
type Store interface {
	// Claim takes the key for the duration of a lease. The result is Acquired
	// if the key is unknown, was released, or its lease has expired;
	// InProgress while another claim's lease runs; Done from the time it was
	// completed until keep has passed. A key that is not completed may be
	// forgotten when keep has passed since it was last claimed, but not while
	// its lease runs.
	Claim(ctx context.Context, key string, lease, keep time.Duration) (Claim, error)

	// Complete marks a claimed key as Done for keep, from now on. It succeeds
	// even after the lease has expired, unless another claim has taken the
	// key: then, and for a released or unknown key, it returns ErrLeaseLost.
	// Repeating it succeeds and changes nothing.
	Complete(ctx context.Context, key, token string, keep time.Duration) error

	// Release ends the lease, so that the next Claim is Acquired, and keeps
	// the count of attempts. It succeeds even after the lease has expired,
	// unless another claim has taken the key: then, and for a completed,
	// released or unknown key, it returns ErrLeaseLost.
	Release(ctx context.Context, key, token string) error
}

// Claim is the result of [Store.Claim].
type Claim struct {
	// State is Acquired, InProgress or Done.
	State State
	// Token identifies this claim if it is Acquired. Only with it can the key
	// be completed, released or renewed.
	Token string
	// Attempt counts the claims of this key that were Acquired, including this
	// one. Release does not reset it.
	Attempt int
	// RetryIn is the remainder of the other claim's lease if this one is
	// InProgress.
	RetryIn time.Duration
}

// A Renewer is a Store that can extend a lease. [Endpoint] uses it if MaxRun is
// longer than Lease.
type Renewer interface {
	// Renew makes the lease of a claimed key end after the given duration from
	// now. It succeeds even after the lease has expired, unless another claim
	// has taken the key: then, and for a completed, released or unknown key,
	// it returns ErrLeaseLost. As after Claim, the key is not forgotten before
	// the lease ends.
	Renew(ctx context.Context, key, token string, lease time.Duration) error
}

// A Transactor is a Store whose mark commits together with what the function
// writes in the store's own database, so that those writes happen exactly
// once. [Endpoint] calls Transact instead of Claim, Complete and Release.
type Transactor interface {
	// Transact runs fn inside a transaction that marks the key as Done for the
	// duration keep, unless it is already Done or another run is in progress.
	//
	// Acquired with a nil error means that fn's writes and the mark are
	// committed. Acquired with an error, such as fn's own, means that both were
	// rolled back, with two exceptions: if fn's error wraps ErrPermanent, the
	// mark is committed; and if the error wraps ErrStore, the store failed, and
	// the fate of a commit may be unknown. InProgress and Done mean that fn did
	// not run. If fn panics or calls runtime.Goexit, both are rolled back and
	// the panic or exit continues.
	//
	// Transact does not wait for a transaction that holds the same key. It
	// must return soon after its context ends. The context's deadline bounds
	// the whole call.
	Transact(ctx context.Context, key string, keep time.Duration, fn func(ctx context.Context) error) (State, error)
}

// DefaultMaxEntries is the bound of a [MemoryStore] whose MaxEntries is zero.
const DefaultMaxEntries = 100_000

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
	MaxEntries int              // zero means DefaultMaxEntries
	Now        func() time.Time // nil means time.Now

	mu      sync.Mutex
	entries map[string]*entry
	queues  [3]list.List // of *entry by status, the oldest first
	tokens  uint64       // how many have been given out
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
	token          uint64
	lease, expires time.Time // when they end, with the monotonic clock's reading
	element        *list.Element
}

// Claim implements [Store].
func (m *MemoryStore) Claim(ctx context.Context, key string, lease, keep time.Duration) (Claim, error) {
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
		if len(m.entries) >= cmp.Or(max(m.MaxEntries, 0), DefaultMaxEntries) && !m.evict(now) {
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
	case e.status == claimed && e.lease.After(now):
		return Claim{State: InProgress, RetryIn: e.lease.Sub(now)}, nil
	}
	m.tokens++
	e.token = m.tokens
	e.attempt++
	e.lease, e.expires = now.Add(lease), now.Add(max(lease, keep))
	m.move(e, claimed)
	return Claim{State: Acquired, Token: strconv.FormatUint(e.token, 10), Attempt: int(e.attempt)}, nil
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
		e.token = 0
		m.move(e, released)
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
	if e == nil || e.token == 0 || token != strconv.FormatUint(e.token, 10) || !e.expires.After(now) {
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

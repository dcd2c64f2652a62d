package geminihook

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxEntries bounds a MemoryStore whose MaxEntries is zero.
const DefaultMaxEntries = 100_000

// MemoryStore is a Store for one process. It forgets everything when the
// process ends and knows nothing of other instances: a shared store is what
// several instances and restarts need. The zero MemoryStore is ready.
//
// It holds at most MaxEntries ids, about 200 bytes each. When it is full, a
// new id drives out one that was released, else the oldest Done one, else one
// whose lease has run out; one in progress never, then Claim is an error.
// Every call takes the same time at any size. It starts no goroutine; ids that
// have expired make room as new ones come.
//
// Do not change the fields after the first call, and do not copy it.
type MemoryStore struct {
	MaxEntries int              // zero means DefaultMaxEntries
	Now        func() time.Time // nil means time.Now

	seed   maphash.Seed
	once   sync.Once
	count  atomic.Int64  // entries in all shards
	tokens atomic.Uint64 // the last token given out
	shards [16]shard
}

// shard holds the entries whose key hashes to it. An entry is in the map and,
// by its state, in one of the three queues, oldest first.
type shard struct {
	mu      sync.Mutex
	entries map[string]*entry
	queues  [3]queue
	oldest  [3]atomic.Int64 // when the head of each queue came, for evict, which has no lock yet
}

const (
	released = iota // no lease, not done: all that would be lost is the count of attempts
	done
	claimed // a lease runs or has run out
)

type entry struct {
	key        string
	prev, next *entry
	since      int64 // when it came into its queue; this and the next two are unix nanoseconds
	lease      int64 // the end of the lease
	expires    int64 // when it is forgotten
	token      uint64
	attempt    uint32
	state      uint8 // the queue it is in
}

var errFull = errors.New("geminihook: MemoryStore is full of events in progress: raise MaxEntries")

// Claim implements Store.
func (m *MemoryStore) Claim(ctx context.Context, key string, lease, keep time.Duration) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	s, now := m.shard(key), m.now()
	for {
		s.mu.Lock()
		m.expire(s, now)
		e := s.entries[key]
		if e == nil && !m.reserve() {
			s.mu.Unlock()
			if !m.evict(now) {
				return Claim{}, errFull
			}
			continue
		}
		c := m.claim(s, e, key, now, lease, keep)
		s.mu.Unlock()
		return c, nil
	}
}

func (m *MemoryStore) claim(s *shard, e *entry, key string, now int64, lease, keep time.Duration) Claim {
	switch {
	case e == nil:
		key = strings.Clone(key) // which may be a slice of something large
		e = &entry{key: key}
		s.entries[key] = e
	case e.expires <= now:
		s.unlink(e)
		*e = entry{key: e.key}
	case e.state == done:
		return Claim{State: Done}
	case e.state == claimed && e.lease > now:
		return Claim{State: InProgress, RetryIn: time.Duration(e.lease - now)}
	default:
		s.unlink(e)
	}
	e.token = m.tokens.Add(1)
	e.attempt++
	e.lease = after(now, lease)
	e.expires = after(now, max(lease, keep))
	s.link(e, claimed, now)
	return Claim{State: Acquired, Token: strconv.FormatUint(e.token, 10), Attempt: int(e.attempt)}
}

// Complete implements Store.
func (m *MemoryStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, now := m.shard(key), m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.held(key, token, now)
	if e == nil {
		return ErrLeaseLost
	}
	if e.state == claimed {
		s.unlink(e)
		e.expires = after(now, keep)
		s.link(e, done, now)
	}
	return nil
}

// Release implements Store.
func (m *MemoryStore) Release(ctx context.Context, key, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, now := m.shard(key), m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.held(key, token, now)
	if e == nil || e.state != claimed {
		return ErrLeaseLost
	}
	s.unlink(e)
	e.token = 0
	s.link(e, released, now)
	return nil
}

// held returns the entry if the token is its own and it has not expired.
func (s *shard) held(key, token string, now int64) *entry {
	n, err := strconv.ParseUint(token, 10, 64)
	if e := s.entries[key]; err == nil && n != 0 && e != nil && e.token == n && e.expires > now {
		return e
	}
	return nil
}

func (m *MemoryStore) shard(key string) *shard {
	m.once.Do(func() {
		m.seed = maphash.MakeSeed()
		for i := range m.shards {
			m.shards[i].init()
		}
	})
	return &m.shards[maphash.String(m.seed, key)%uint64(len(m.shards))]
}

func (m *MemoryStore) now() int64 {
	if m.Now != nil {
		return m.Now().UnixNano()
	}
	return time.Now().UnixNano()
}

// after adds without passing the end of time.
func after(now int64, d time.Duration) int64 {
	if d > 0 && now > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return now + int64(d)
}

// reserve counts one entry more, if there is room.
func (m *MemoryStore) reserve() bool {
	limit := int64(m.MaxEntries)
	if limit <= 0 {
		limit = DefaultMaxEntries
	}
	if m.count.Add(1) <= limit {
		return true
	}
	m.count.Add(-1)
	return false
}

// expire drops up to two expired entries of each queue: more than the one that
// a Claim can add, so that the expired ones go faster than they come.
func (m *MemoryStore) expire(s *shard, now int64) {
	for i := range s.queues {
		for range 2 {
			if e := s.queues[i].head(); e != nil && e.expires <= now {
				m.drop(s, e)
			}
		}
	}
}

// evict makes room for one entry, from whichever shard has the best to lose.
// The caller holds no lock. It returns false if every entry is in progress.
func (m *MemoryStore) evict(now int64) bool {
	for q := range m.shards[0].queues {
		var from *shard
		oldest := int64(math.MaxInt64)
		for i := range m.shards {
			if t := m.shards[i].oldest[q].Load(); t < oldest {
				from, oldest = &m.shards[i], t
			}
		}
		if from == nil {
			continue
		}
		from.mu.Lock()
		e := from.queues[q].head()
		gone := e == nil // another caller took it: there may be room now
		if e != nil && (q != claimed || e.lease <= now) {
			m.drop(from, e)
			gone = true
		}
		from.mu.Unlock()
		if gone {
			return true
		}
	}
	return false
}

func (m *MemoryStore) drop(s *shard, e *entry) {
	s.unlink(e)
	delete(s.entries, e.key)
	m.count.Add(-1)
}

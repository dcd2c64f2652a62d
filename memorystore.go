package geminihook

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"strconv"
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
// It holds at most MaxEntries ids, about 100 bytes each. When it is full, a
// new id drives out one that was released, else the oldest Done one, else one
// whose lease has run out; one in progress never, then Claim is an error.
// A call takes about the same time at any size. It starts no goroutine; ids
// that have expired make room as new ones come.
//
// Do not change the fields after the first call, and do not copy it.
type MemoryStore struct {
	MaxEntries int              // zero means DefaultMaxEntries
	Now        func() time.Time // nil means time.Now

	once   sync.Once
	count  atomic.Int64 // entries in all shards
	shards [shards]shard
}

const shards = 16

// shard holds the entries of the keys whose id ends alike.
type shard struct {
	mu     sync.Mutex
	first  map[uint32]uint32 // the entries by the beginning of their ids: small, so that it takes few cache misses
	blocks []*[block]entry
	made   uint32               // entries in all blocks
	free   uint32               // the first entry to use again, 0 if there is none
	token  uint64               // the last that was given out; no two shards give out the same
	oldest [queues]atomic.Int64 // when the head of each queue came, for evict, which has no lock yet
}

var errFull = errors.New("geminihook: MemoryStore is full of events in progress: raise MaxEntries")

// Claim implements Store.
func (m *MemoryStore) Claim(ctx context.Context, key string, lease, keep time.Duration) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	s, id := m.shard(key)
	now := m.now()
	for {
		s.mu.Lock()
		m.expire(s, now)
		n := s.find(id)
		if n == 0 && !m.reserve() {
			s.mu.Unlock()
			if !m.evict(now) {
				return Claim{}, errFull
			}
			continue
		}
		c := s.claim(n, id, now, lease, keep)
		s.mu.Unlock()
		return c, nil
	}
}

func (s *shard) claim(n uint32, id keyID, now int64, lease, keep time.Duration) Claim {
	if n == 0 {
		n = s.add(id)
	} else {
		switch e := s.at(n); {
		case e.expires <= now:
			e.attempt = 0
		case e.state == done:
			return Claim{State: Done}
		case e.state == claimed && e.lease > now:
			return Claim{State: InProgress, RetryIn: time.Duration(e.lease - now)}
		}
		s.unlink(n)
	}
	s.token += shards
	e := s.at(n)
	e.token = s.token
	if e.attempt < math.MaxUint16 {
		e.attempt++
	}
	e.lease = after(now, lease)
	e.expires = after(now, max(lease, keep))
	s.link(n, claimed, now)
	return Claim{State: Acquired, Token: strconv.FormatUint(e.token, 10), Attempt: int(e.attempt)}
}

// Complete implements Store.
func (m *MemoryStore) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, id := m.shard(key)
	now := m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.held(id, token, now)
	if n == 0 {
		return ErrLeaseLost
	}
	if e := s.at(n); e.state == claimed {
		s.unlink(n)
		e.expires = after(now, keep)
		s.link(n, done, now)
	}
	return nil
}

// Release implements Store.
func (m *MemoryStore) Release(ctx context.Context, key, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, id := m.shard(key)
	now := m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.held(id, token, now)
	if n == 0 || s.at(n).state != claimed {
		return ErrLeaseLost
	}
	s.unlink(n)
	s.at(n).token = 0
	s.link(n, released, now)
	return nil
}

// held returns the entry if the token is its own and it has not expired, else 0.
func (s *shard) held(id keyID, token string, now int64) uint32 {
	given, err := strconv.ParseUint(token, 10, 64)
	n := s.find(id)
	if err != nil || given == 0 || n == 0 {
		return 0
	}
	if e := s.at(n); e.token != given || e.expires <= now {
		return 0
	}
	return n
}

func (m *MemoryStore) shard(key string) (*shard, keyID) {
	m.once.Do(func() {
		for i := range m.shards {
			m.shards[i].init(uint64(i))
		}
	})
	var text [512]byte // on the stack, unless KeyPrefix is long
	sum := sha256.Sum256(append(text[:0], key...))
	id := keyID(sum[:])
	return &m.shards[id[15]%shards], id
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
	for q := range uint8(queues) {
		for range 2 {
			if n := s.head(q); n != 0 && s.at(n).expires <= now {
				m.drop(s, n)
			}
		}
	}
}

// evict makes room for one entry, from whichever shard has the best to lose.
// The caller holds no lock. It returns false if every entry is in progress.
func (m *MemoryStore) evict(now int64) bool {
	for q := range uint8(queues) {
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
		n := from.head(q)
		gone := n == 0 // another caller took it: there may be room now
		if n != 0 && (q != claimed || from.at(n).lease <= now) {
			m.drop(from, n)
			gone = true
		}
		from.mu.Unlock()
		if gone {
			return true
		}
	}
	return false
}

func (m *MemoryStore) drop(s *shard, n uint32) {
	s.unlink(n)
	s.remove(n)
	m.count.Add(-1)
}

package geminihook

import (
	"encoding/binary"
	"math"
)

// An entry is known by its number in its shard: entries without pointers cost
// the garbage collector nothing, however many there are. The first three are
// the roots of the queues, which are rings, oldest first. An entry has 64 bytes.
type entry struct {
	id         keyID
	same       uint32 // the next whose id begins alike, 0 if there is none
	prev, next uint32
	attempt    uint16
	state      uint8 // the queue it is in
	since      int64 // when it came into its queue; this and the next two are unix nanoseconds
	lease      int64 // the end of the lease
	expires    int64 // when it is forgotten
	token      uint64
}

const (
	released = iota // no lease, not done: all that would be lost is the count of attempts
	done
	claimed // a lease runs or has run out
	queues  // how many there are
)

const block = 64 // entries are made so many at a time, and never moved

// keyID stands for a key: half of its SHA-256, so that keys of any length take
// the same room and no two have the same.
type keyID [16]byte

func (id keyID) begin() uint32 { return binary.LittleEndian.Uint32(id[:]) }

func (s *shard) at(n uint32) *entry { return &s.blocks[n/block][n%block] }

// head returns the oldest entry of a queue, 0 if there is none.
func (s *shard) head(state uint8) uint32 {
	if n := s.at(uint32(state)).next; n >= queues {
		return n
	}
	return 0
}

func (s *shard) init(token uint64) {
	s.token = token
	s.first = make(map[uint32]uint32)
	for q := range uint32(queues) {
		n := s.make()
		s.at(n).prev, s.at(n).next = n, n
		s.oldest[q].Store(math.MaxInt64)
	}
}

// make returns an entry that is all zero.
func (s *shard) make() uint32 {
	if n := s.free; n != 0 {
		s.free = s.at(n).next
		*s.at(n) = entry{}
		return n
	}
	n := s.made
	if n%block == 0 {
		s.blocks = append(s.blocks, new([block]entry))
	}
	s.made++
	return n
}

// link puts the entry at the end of a queue.
func (s *shard) link(n uint32, state uint8, now int64) {
	e, root := s.at(n), s.at(uint32(state))
	e.state, e.since = state, now
	e.prev, e.next = root.prev, uint32(state)
	s.at(root.prev).next, root.prev = n, n
	if e.prev < queues {
		s.noteOldest(state)
	}
}

// unlink takes the entry out of its queue.
func (s *shard) unlink(n uint32) {
	e := s.at(n)
	s.at(e.prev).next, s.at(e.next).prev = e.next, e.prev
	if e.prev < queues {
		s.noteOldest(e.state)
	}
}

// find returns the entry of a key, 0 if there is none.
func (s *shard) find(id keyID) uint32 {
	n := s.first[id.begin()]
	for n != 0 && s.at(n).id != id {
		n = s.at(n).same
	}
	return n
}

// add makes an entry for a key that has none.
func (s *shard) add(id keyID) uint32 {
	n := s.make()
	e := s.at(n)
	e.id, e.same = id, s.first[id.begin()]
	s.first[id.begin()] = n
	return n
}

// remove gives up an entry that was unlinked.
func (s *shard) remove(n uint32) {
	e := s.at(n)
	switch before := s.first[e.id.begin()]; {
	case before != n:
		for s.at(before).same != n {
			before = s.at(before).same
		}
		s.at(before).same = e.same
	case e.same != 0:
		s.first[e.id.begin()] = e.same
	default:
		delete(s.first, e.id.begin())
	}
	e.next, s.free = s.free, n
}

func (s *shard) noteOldest(state uint8) {
	since := int64(math.MaxInt64)
	if n := s.head(state); n != 0 {
		since = s.at(n).since
	}
	s.oldest[state].Store(since)
}

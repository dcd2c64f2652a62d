package geminihook

import "math"

// queue is a ring of entries, oldest first, around a root that is none.
type queue struct{ root entry }

func (q *queue) head() *entry {
	if q.root.next == &q.root {
		return nil
	}
	return q.root.next
}

func (s *shard) init() {
	s.entries = make(map[string]*entry)
	for i := range s.queues {
		root := &s.queues[i].root
		root.prev, root.next = root, root
		s.oldest[i].Store(math.MaxInt64)
	}
}

// link puts the entry at the end of a queue.
func (s *shard) link(e *entry, state uint8, now int64) {
	root := &s.queues[state].root
	e.state, e.since = state, now
	e.prev, e.next = root.prev, root
	root.prev.next, root.prev = e, e
	s.noteOldest(state)
}

// unlink takes the entry out of its queue.
func (s *shard) unlink(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	s.noteOldest(e.state)
}

func (s *shard) noteOldest(state uint8) {
	since := int64(math.MaxInt64)
	if e := s.queues[state].head(); e != nil {
		since = e.since
	}
	s.oldest[state].Store(since)
}

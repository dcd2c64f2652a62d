package listen

import (
	"container/list"
	"sync"
	"time"
)

// The bounds of what is kept. Deliveries that were not accepted have bounds
// apart, so that a flood of them cannot displace a genuine one.
const (
	maxGenuine      = 500      // groups
	maxRefused      = 200      // groups
	maxGenuineBytes = 64 << 20 // of paths, headers, and bodies
	maxRefusedBytes = 16 << 20
	maxAttempts     = 20 // per group; older ones are only counted
)

// store keeps the groups. Its version grows with every change, and changed is
// closed and replaced then, so that any number of streams can follow without a
// queue for each.
type store struct {
	mu       sync.Mutex
	version  int64
	cursor   int64 // of the latest attempt
	numbers  int64 // of the latest group
	probes   int
	changed  chan struct{}
	genuine  class
	refused  class
	byNumber map[int64]*list.Element
	now      func() time.Time
}

// class is the groups with one verdict, the one with the latest attempt last.
type class struct {
	groups list.List // of *group
	byKey  map[string]*list.Element
	bytes  int
	limit  int
	budget int
}

func newStore() *store {
	return &store{
		changed: make(chan struct{}), now: time.Now, byNumber: map[int64]*list.Element{},
		genuine: class{
			byKey: map[string]*list.Element{}, limit: maxGenuine, budget: maxGenuineBytes,
		},
		refused: class{
			byKey: map[string]*list.Element{}, limit: maxRefused, budget: maxRefusedBytes,
		},
	}
}

func (s *store) class(genuine bool) *class {
	if genuine {
		return &s.genuine
	}
	return &s.refused
}

// touch notes that something has changed and wakes the streams.
func (s *store) touch(g *group) {
	s.version++
	if g != nil {
		g.changed = s.version
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// begin adds an attempt to the group with the key of g, or makes g that group.
func (s *store) begin(g *group, a *attempt) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.class(g.genuine)
	e := c.byKey[g.key]
	if e == nil {
		s.numbers++
		g.number = s.numbers
		e = c.groups.PushBack(g)
		c.byKey[g.key], s.byNumber[g.number] = e, e
	} else {
		old := e.Value.(*group) // with the reasons of the latest attempt
		old.reasons, old.unexplained = g.reasons, g.unexplained
	}
	g = e.Value.(*group)
	s.append(c, e, a)
	return g
}

// repeat adds a replay to the group, unless it has been forgotten.
func (s *store) repeat(number int64, a *attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byNumber[number]
	if e == nil {
		return false
	}
	s.append(s.class(e.Value.(*group).genuine), e, a)
	return true
}

func (s *store) append(c *class, e *list.Element, a *attempt) {
	g := e.Value.(*group)
	s.cursor++
	a.cursor, a.at = s.cursor, s.now()
	c.bytes -= g.size
	g.add(a)
	c.bytes += g.size
	c.groups.MoveToBack(e)
	for c.groups.Len() > c.limit || (c.bytes > c.budget && c.groups.Len() > 1) {
		s.forget(c, c.groups.Front())
	}
	s.touch(g)
}

func (s *store) forget(c *class, e *list.Element) {
	g := c.groups.Remove(e).(*group)
	delete(c.byKey, g.key)
	delete(s.byNumber, g.number)
	c.bytes -= g.size
}

// finish records the end of an attempt of g.
func (s *store) finish(g *group, a *attempt, r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.finish(a, r)
	s.touch(g)
}

// explained records why a group was refused, unless another attempt has come since.
func (s *store) explained(number, cursor int64, reasons []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byNumber[number]
	if e == nil || cursorOf(e) != cursor {
		return
	}
	g := e.Value.(*group)
	g.reasons, g.unexplained = reasons, nil
	s.touch(g)
}

// probe counts a request that is not a POST.
func (s *store) probe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes++
	s.touch(nil)
}

// notify wakes the streams, for a change outside the store.
func (s *store) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touch(nil)
}

// clear forgets everything.
func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range []*class{&s.genuine, &s.refused} {
		for c.groups.Len() > 0 {
			s.forget(c, c.groups.Front())
		}
	}
	s.probes = 0
	s.touch(nil)
}

// change is what has happened since a version. A group whose cursor is below the
// floor of its class has been forgotten.
type change struct {
	Version      int64     `json:"version"`
	GenuineFloor int64     `json:"genuine_floor"`
	RefusedFloor int64     `json:"refused_floor"`
	Probes       int       `json:"probes"`
	Deliveries   []summary `json:"deliveries"` // in no order
}

// since returns what has happened since a version, and a channel that is closed
// at the next change.
func (s *store) since(version int64) (change, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := change{Version: s.version, Probes: s.probes, Deliveries: []summary{}}
	c.GenuineFloor, c.RefusedFloor = s.genuine.floor(s.cursor), s.refused.floor(s.cursor)
	for _, g := range s.all() {
		if g.changed > version {
			c.Deliveries = append(c.Deliveries, g.summary())
		}
	}
	return c, s.changed
}

// floor returns the cursor of the group that will be forgotten next.
func (c *class) floor(latest int64) int64 {
	if e := c.groups.Front(); e != nil {
		return cursorOf(e)
	}
	return latest + 1
}

// all returns the groups, the one with the latest attempt first.
func (s *store) all() []*group {
	groups := make([]*group, 0, s.genuine.groups.Len()+s.refused.groups.Len())
	a, b := s.genuine.groups.Back(), s.refused.groups.Back()
	for a != nil || b != nil {
		if b == nil || (a != nil && cursorOf(a) > cursorOf(b)) {
			groups = append(groups, a.Value.(*group))
			a = a.Prev()
		} else {
			groups = append(groups, b.Value.(*group))
			b = b.Prev()
		}
	}
	return groups
}

// cursorOf returns the cursor of the group's latest attempt.
func cursorOf(e *list.Element) int64 { return e.Value.(*group).last().cursor }

// find calls match for the groups, newest first, until it returns true. Match
// must not keep the group.
func (s *store) find(match func(*group) bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.all() {
		if match(g) {
			break
		}
	}
	return s.changed
}

// with calls fn for a group, or returns false if there is none with the number.
func (s *store) with(number int64, fn func(*group)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byNumber[number]
	if e != nil {
		fn(e.Value.(*group))
	}
	return e != nil
}

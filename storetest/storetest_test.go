package storetest_test

import (
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/storetest"
)

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) geminihook.Store { return &geminihook.MemoryStore{} })
}

func TestMemoryStoreWithClock(t *testing.T) {
	clock := &clock{now: time.Now()}
	storetest.Suite{
		New: func(*testing.T) geminihook.Store {
			return &geminihook.MemoryStore{Now: clock.Now}
		},
		OneProcess: true,
		Advance:    func(_ *testing.T, d time.Duration) { clock.Advance(d) },
		Bounded: func(_ *testing.T, keys int) geminihook.Store {
			return &geminihook.MemoryStore{Now: clock.Now, MaxEntries: keys}
		},
	}.Run(t)
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestReference(t *testing.T) {
	t.Parallel()
	storeSuite("").Run(t)
}

func TestReferenceTransactor(t *testing.T) {
	t.Parallel()
	transactorSuite("").Run(t)
}

// TestReferenceWaits tests a transactor whose calls wait for the transactions of
// other handles.
func TestReferenceWaits(t *testing.T) {
	t.Parallel()
	s := transactorSuite("")
	s.Waits = true
	s.New = func(*testing.T) geminihook.Transactor {
		r := newReference("", time.Now)
		r.waits = true
		return r
	}
	s.Run(t)
}

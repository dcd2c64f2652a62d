package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A ghost is a claim whose reply did not arrive: nobody knows whether it was
// acquired, and a server that hangs may run it when it continues. Until its
// lease ended, it would refuse each redelivery of an event that nobody handles.
type ghost struct {
	key, token string
	until      time.Time     // when its lease has ended, if it was acquired at once
	next       time.Time     // not to be tried before
	pause      time.Duration // after the next try
}

// ghosts are released by one goroutine, which exists only while there are any.
type ghosts struct {
	mu      sync.Mutex
	waiting []ghost
	running bool
}

const (
	maxGhosts    = 10_000                 // more than that keep the key until their lease ends
	ghostPause   = 100 * time.Millisecond // before the first try; doubled after each
	ghostPauses  = 5 * time.Second        // the longest
	ghostTimeout = time.Second            // of a try
)

// mayHaveRun reports whether the server may have run a command that failed with
// err, or may still run it.
func mayHaveRun(err error) bool { return !replied(err) && !errors.Is(err, redis.ErrPoolTimeout) }

// replied reports whether err is a reply of the server.
func replied(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// release releases a ghost in the background.
func (s *Store) release(g ghost) {
	s.ghosts.mu.Lock()
	defer s.ghosts.mu.Unlock()
	if len(s.ghosts.waiting) >= maxGhosts {
		return
	}
	g.pause = ghostPause
	g.next = time.Now().Add(g.pause)
	s.ghosts.waiting = append(s.ghosts.waiting, g)
	if !s.ghosts.running {
		s.ghosts.running = true
		go s.releaseAll()
	}
}

// releaseAll returns when no ghost is left.
func (s *Store) releaseAll() {
	for s.ghosts.any() {
		time.Sleep(ghostPause)
		if errors.Is(s.releaseDue(), redis.ErrClosed) {
			s.ghosts.forget()
		}
	}
}

// any returns false after the last ghost, and then a new one needs a new
// goroutine.
func (g *ghosts) any() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = len(g.waiting) > 0
	return g.running
}

func (g *ghosts) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = nil
}

// releaseDue tries to release those whose time has come, until one fails, which
// goes behind the others: the server is away, or one of several.
func (s *Store) releaseDue() error {
	s.ghosts.mu.Lock()
	waiting := s.ghosts.waiting
	s.ghosts.waiting = nil
	s.ghosts.mu.Unlock()
	now := time.Now()
	var early, later []ghost
	var failed error
	for _, g := range waiting {
		if failed != nil || now.Before(g.next) {
			early = append(early, g)
			continue
		}
		var released bool
		released, failed = s.tryRelease(g)
		ended := now.After(g.until) && (failed == nil || replied(failed))
		if !released && !ended {
			g.next, g.pause = now.Add(g.pause), min(2*g.pause, ghostPauses)
			later = append(later, g)
		}
	}
	s.ghosts.mu.Lock()
	s.ghosts.waiting = slices.Concat(early, later, s.ghosts.waiting)
	s.ghosts.mu.Unlock()
	return failed
}

// tryRelease returns false if the token does not hold the key: perhaps the
// claim was never acquired, or has not been yet.
func (s *Store) tryRelease(g ghost) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ghostTimeout)
	defer cancel()
	cmd, err := s.run(ctx, releaseScript, g.key, g.token)
	if err != nil {
		return false, err
	}
	n, err := cmd.Int()
	return n == 1, err
}

package pgstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/puddle/v2"
)

const (
	// lateLimit is how long the store looks out for a claim that the database
	// may still carry out.
	lateLimit = 10 * time.Minute
	// latePause is the longest pause between two looks.
	latePause = time.Second
	// lateMax bounds the memory for such claims if the database is away for
	// long: later ones keep their key until their lease ends.
	lateMax = 10_000
)

// lateClaims are claims whose caller has gone, and whose statements may be on
// their way to the database, or waiting in it. Without Release, each would keep
// its event from being handled until its lease ends.
type lateClaims struct {
	mu      sync.Mutex
	claims  []lateClaim
	running bool
}

type lateClaim struct {
	key, token string
	until      time.Time
}

// releaseLate releases the claim in the background, once it turns up.
func (s *Store) releaseLate(key, token string) {
	l := &s.late
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.claims) >= lateMax {
		return
	}
	l.claims = append(l.claims, lateClaim{key, token, time.Now().Add(lateLimit)})
	if !l.running {
		l.running = true
		go s.watchLate()
	}
}

// watchLate runs until no claim is waited for any more.
func (s *Store) watchLate() {
	for pause := latePause / 16; s.late.waiting(); pause = min(2*pause, latePause) {
		time.Sleep(pause)
		if err := s.lookForLate(); errors.Is(err, puddle.ErrClosedPool) {
			s.late.drop(func(lateClaim) bool { return true })
		}
	}
}

// waiting drops the claims that are no longer waited for, and reports whether
// any is left. If none is, watchLate ends.
func (l *lateClaims) waiting() bool {
	now := time.Now()
	l.drop(func(c lateClaim) bool { return now.After(c.until) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = len(l.claims) > 0
	return l.running
}

func (l *lateClaims) drop(which func(lateClaim) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims = slices.DeleteFunc(l.claims, which)
}

// list returns the claims as arguments of a statement.
func (l *lateClaims) list() (keys, tokens [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.claims {
		keys, tokens = append(keys, []byte(c.key)), append(tokens, []byte(c.token))
	}
	return keys, tokens
}

// lookForLate releases those that have turned up. An error means that the
// database is still away, and the next look is soon.
func (s *Store) lookForLate() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout())
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	keys, tokens := s.late.list()
	found := map[string]bool{}
	err = send(ctx, conn, func(b *pgx.Batch) {
		b.Queue(s.statements().releaseLate, keys, tokens).Query(func(rows pgx.Rows) error {
			var token []byte
			_, err := pgx.ForEachRow(rows, []any{&token}, func() error {
				found[string(token)] = true
				return nil
			})
			return err
		})
	})
	if err != nil {
		return err
	}
	s.late.drop(func(c lateClaim) bool { return found[c.token] })
	return nil
}

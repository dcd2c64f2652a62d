package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// growth is how the times of a kind of store depend on the number of ids in it.
type growth struct {
	event     []float64 // ns of an event, at each of the counts
	duplicate float64   // ns of an event that is done, at the last of them
	contended float64   // ns of a claim that is InProgress, by 8 at once; 0 if not measured
}

// measureGrowth measures all kinds of stores of an engine, with the same ids.
func measureGrowth(s *server, kinds []storeKind, counts []int, rounds, n int) []growth {
	open := func(kind storeKind, ids int) *subject {
		subject, err := kind.open(s, fmt.Sprintf("ids%d", ids), 8, dial)
		must(err)
		return subject
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var all []growth
	for k, kind := range kinds {
		var subjects []*subject
		for _, ids := range counts {
			subject := open(kind, ids)
			defer subject.close()
			if k == 0 {
				must(subject.fill(ctx, ids))
			}
			subjects = append(subjects, subject)
		}
		all = append(all, growthOf(ctx, subjects, rounds, n))
	}
	return all
}

// growthOf measures the subjects in turns.
func growthOf(ctx context.Context, subjects []*subject, rounds, n int) growth {
	var ways []way
	for _, s := range subjects {
		var keys []string
		ways = append(ways, way{
			prepare: func(n int) {
				keys = make([]string, n)
				for i := range keys {
					keys[i] = newKey()
				}
			},
			run: func(i int) { must(s.acquire(ctx, keys[i])) },
		})
	}
	var g growth
	for _, c := range compare(rounds, n, 1, ways) {
		g.event = append(g.event, c.ns)
	}
	last := subjects[len(subjects)-1]
	done := newKey()
	must(last.acquire(ctx, done))
	g.duplicate = compare(rounds, n, 1, []way{{
		run: func(int) { must(last.again(ctx, done)) },
	}})[0].ns
	if last.transactor == nil {
		g.contended = contended(ctx, rounds, n, last.store)
	}
	return g
}

// contended is a claim of a key that another holds, by 8 workers at once.
func contended(ctx context.Context, rounds, n int, s geminihook.Store) float64 {
	held := newKey()
	c, err := s.Claim(ctx, held, rand.Text(), time.Hour, time.Hour)
	must(expect(c.State, geminihook.Acquired, err))
	return compare(rounds, n, 8, []way{{run: func(int) {
		c, err := s.Claim(ctx, held, rand.Text(), lease, keep)
		must(expect(c.State, geminihook.InProgress, err))
	}}})[0].ns
}

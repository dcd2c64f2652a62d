package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/assert"
)

// broken is a MemoryStore of which one thing is wrong.
type broken struct {
	*geminihook.MemoryStore
	claim    func(s *geminihook.MemoryStore, ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error)
	complete func(s *geminihook.MemoryStore, ctx context.Context, key, token string, keep time.Duration) error
	release  func(s *geminihook.MemoryStore, ctx context.Context, key, token string) error
}

func (b broken) Claim(ctx context.Context, key string, lease, keep time.Duration) (geminihook.Claim, error) {
	if b.claim != nil {
		return b.claim(b.MemoryStore, ctx, key, lease, keep)
	}
	return b.MemoryStore.Claim(ctx, key, lease, keep)
}

func (b broken) Complete(ctx context.Context, key, token string, keep time.Duration) error {
	if b.complete != nil {
		return b.complete(b.MemoryStore, ctx, key, token, keep)
	}
	return b.MemoryStore.Complete(ctx, key, token, keep)
}

func (b broken) Release(ctx context.Context, key, token string) error {
	if b.release != nil {
		return b.release(b.MemoryStore, ctx, key, token)
	}
	return b.MemoryStore.Release(ctx, key, token)
}

// changed changes the arguments of all three methods.
func changed(keyOf func(string) string, context func(context.Context) context.Context) broken {
	type store = geminihook.MemoryStore
	return broken{
		claim: func(s *store, ctx ctx, key string, lease, keep time.Duration) (geminihook.Claim, error) {
			return s.Claim(context(ctx), keyOf(key), lease, keep)
		},
		complete: func(s *store, ctx ctx, key, token string, keep time.Duration) error {
			return s.Complete(context(ctx), keyOf(key), token, keep)
		},
		release: func(s *store, ctx ctx, key, token string) error { return s.Release(context(ctx), keyOf(key), token) },
	}
}

type ctx = context.Context

func same[T any](v T) T { return v }

// leases changes the durations of Claim.
func leases(change func(lease, keep time.Duration) (time.Duration, time.Duration)) broken {
	return broken{claim: func(s *geminihook.MemoryStore, ctx ctx, key string, lease, keep time.Duration) (geminihook.Claim, error) {
		lease, keep = change(lease, keep)
		return s.Claim(ctx, key, lease, keep)
	}}
}

// claims changes the answer of Claim.
func claims(change func(c *geminihook.Claim)) broken {
	return broken{claim: func(s *geminihook.MemoryStore, ctx ctx, key string, lease, keep time.Duration) (geminihook.Claim, error) {
		c, err := s.Claim(ctx, key, lease, keep)
		if err == nil {
			change(&c)
		}
		return c, err
	}}
}

// keeps changes the keep of Complete.
func keeps(change func(keep time.Duration) time.Duration) broken {
	return broken{complete: func(s *geminihook.MemoryStore, ctx ctx, key, token string, keep time.Duration) error {
		return s.Complete(ctx, key, token, change(keep))
	}}
}

// unlost takes ErrLeaseLost for success.
func unlost(err error) error {
	if errors.Is(err, geminihook.ErrLeaseLost) {
		return nil
	}
	return err
}

// defects are, by the behaviour that must find them, ways to get it wrong.
var defects = map[string]broken{
	"claim of a new key":      claims(func(c *geminihook.Claim) { c.Attempt-- }),
	"claim while in progress": claims(func(c *geminihook.Claim) { c.RetryIn = 0 }),
	"one winner": claims(func(c *geminihook.Claim) {
		if c.State == geminihook.InProgress {
			c.State, c.Token = geminihook.Acquired, "1"
		}
	}),
	"keys are apart": changed(func(key string) string { return key[:min(len(key), 16)] }, same[ctx]),
	"takeover after the lease, not before": leases(func(lease, keep time.Duration) (time.Duration, time.Duration) {
		return lease / 2, keep
	}),
	"stale token": {release: func(s *geminihook.MemoryStore, ctx ctx, key, token string) error {
		return unlost(s.Release(ctx, key, token))
	}},
	"wrong token": {complete: func(s *geminihook.MemoryStore, ctx ctx, key, token string, keep time.Duration) error {
		if token == "" {
			return nil
		}
		return s.Complete(ctx, key, token, keep)
	}},
	"late complete": leases(func(lease, _ time.Duration) (time.Duration, time.Duration) { return lease, lease }),
	"complete twice": {complete: func(s *geminihook.MemoryStore, ctx ctx, key, token string, keep time.Duration) error {
		if c, err := s.Claim(ctx, key, 1, 1); err == nil && c.State == geminihook.Done {
			return geminihook.ErrLeaseLost
		}
		return s.Complete(ctx, key, token, keep)
	}},
	"release":                claims(func(c *geminihook.Claim) { c.Attempt = min(c.Attempt, 1) }),
	"release after complete": {release: func(*geminihook.MemoryStore, ctx, string, string) error { return nil }},
	"done outlives the lease": keeps(func(keep time.Duration) time.Duration {
		return min(keep, 200*time.Millisecond)
	}),
	"done ends after keep": keeps(func(keep time.Duration) time.Duration { return keep / 2 }),
	"done is never claimed": claims(func(c *geminihook.Claim) {
		if c.State == geminihook.Done {
			c.State = geminihook.InProgress
		}
	}),
	"keep of a century": keeps(func(keep time.Duration) time.Duration { return keep % (365 * 24 * time.Hour) }),
	"lease longer than keep": leases(func(lease, keep time.Duration) (time.Duration, time.Duration) {
		return min(lease, keep), keep
	}),
	"sub-second lease": leases(func(lease, keep time.Duration) (time.Duration, time.Duration) {
		return lease.Round(time.Second), keep
	}),
	"two handles":       {}, // whose handles share nothing
	"hostile keys":      changed(strings.ToLower, same[ctx]),
	"nul in a key":      changed(func(key string) string { key, _, _ = strings.Cut(key, "\x00"); return key }, same[ctx]),
	"cancelled context": changed(same[string], context.WithoutCancel),
	"gone":              {}, // whose backend answers
}

// memTransactor is a Transactor in memory. What is not zero is done wrong.
type memTransactor struct {
	*geminihook.MemoryStore
	unmarked, markError, markPanic, dropPermanent, waits, overtakes, careless, deaf bool

	keep time.Duration
}

func (m memTransactor) Transact(ctx ctx, key string, keep time.Duration, fn func(ctx) error) (state geminihook.State, err error) {
	if m.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	if m.keep != 0 {
		keep = m.keep
	}
	c, err := m.Claim(ctx, key, time.Hour, keep)
	for m.waits && err == nil && c.State == geminihook.InProgress {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
		c, err = m.Claim(ctx, key, time.Hour, keep)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", geminihook.ErrStore, err)
	}
	if m.overtakes && c.State == geminihook.InProgress {
		return geminihook.Acquired, fn(ctx)
	}
	if c.State != geminihook.Acquired {
		return c.State, nil
	}
	if m.careless {
		_ = m.Release(ctx, key, c.Token)
	}
	complete := m.markPanic
	after := context.WithoutCancel(ctx)
	defer func() {
		switch {
		case m.unmarked, !complete:
			_ = m.Release(after, key, c.Token)
		default:
			_ = m.Complete(after, key, c.Token, keep)
		}
	}()
	err = fn(ctx)
	complete = err == nil || m.markError || errors.Is(err, geminihook.ErrPermanent) && !m.dropPermanent
	return geminihook.Acquired, err
}

var transactDefects = map[string]memTransactor{
	"transact commits":                   {unmarked: true},
	"transact rolls back on error":       {markError: true},
	"transact rolls back on panic":       {markPanic: true},
	"transact permanent":                 {dropPermanent: true},
	"transact runs once under races":     {overtakes: true},
	"transact does not wait for another": {waits: true},
	"transact done ends after keep":      {keep: time.Nanosecond},
	"transact respects claims":           {overtakes: true},
	"transact is respected by claims":    {careless: true},
	"transact hostile keys":              {unmarked: true},
	"transact cancelled context":         {deaf: true},
	"transact cancelled while it runs":   {markError: true},
	"transact gone":                      {},
}

func TestTransactorInMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) geminihook.Store { return memTransactor{MemoryStore: &geminihook.MemoryStore{}} })
}

const defectVariable = "STORETEST_DEFECT"

// TestDefect runs the suite on a defective store, in a process of its own.
func TestDefect(t *testing.T) {
	name, ok := os.LookupEnv(defectVariable)
	if !ok {
		return // it is for TestDefects
	}
	make := func(*testing.T) geminihook.Store {
		if m, ok := transactDefects[name]; ok {
			m.MemoryStore = &geminihook.MemoryStore{}
			return m
		}
		b := defects[name]
		b.MemoryStore = &geminihook.MemoryStore{}
		return b
	}
	suite := storetest.Suite{New: make}
	switch name {
	case "two handles":
		suite.Second = func(t *testing.T, _ geminihook.Store) geminihook.Store { return make(t) }
	case "gone", "transact gone":
		suite.Gone = make
	}
	suite.Run(t)
}

// TestDefects: each behaviour finds what is against it.
func TestDefects(t *testing.T) {
	for name := range defects {
		t.Run(name, func(t *testing.T) { found(t, name) })
	}
	for name := range transactDefects {
		t.Run(name, func(t *testing.T) { found(t, name) })
	}
}

func found(t *testing.T, name string) {
	t.Helper()
	t.Parallel()
	subtest := strings.ReplaceAll(name, " ", "_")
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(limit, os.Args[0], "-test.run", "^TestDefect$/^"+subtest+"$")
	cmd.Env = append(os.Environ(), defectVariable+"="+name)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	assert.ErrorAs(t, err, &exit, "the suite must fail:\n%s", out)
	assert.Contains(t, string(out), "--- FAIL: TestDefect/"+subtest)
	assert.NotContains(t, string(out), "panic:")
}

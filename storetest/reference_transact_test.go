package storetest_test

import (
	"context"
	"errors"
	"time"

	"github.com/geminihook/geminihook"
)

type txKey struct{}

// transaction is the names of the rows that it adds.
type transaction struct {
	rows  []string
	ended bool // by the function
}

// writes lets the suite write and count.
func (r *reference) write(ctx ctx, name string) error {
	tx, ok := ctx.Value(txKey{}).(*transaction)
	if !ok {
		return errors.New("no transaction in the context")
	}
	tx.rows = append(tx.rows, name)
	return nil
}

// endings are what a function may do to its transaction.
func (r *reference) endings() map[string]func(ctx) error {
	end := func(commit, restart bool) func(ctx) error {
		return func(ctx ctx) error {
			tx := ctx.Value(txKey{}).(*transaction)
			if commit {
				r.mu.Lock()
				r.commitRows(tx)
				r.mu.Unlock()
			}
			tx.rows = nil
			if !restart || !r.has("Transact does not notice that the transaction was restarted") {
				tx.ended = true
			}
			return nil
		}
	}
	return map[string]func(ctx) error{
		"COMMIT":              end(true, false),
		"ROLLBACK":            end(false, false),
		"COMMIT AND CHAIN":    end(true, true),
		"ROLLBACK AND CHAIN":  end(false, true),
		"ROLLBACK then BEGIN": end(false, true),
	}
}

func (r *reference) commitRows(tx *transaction) {
	for _, name := range tx.rows {
		r.rows[name]++
	}
}

func (r *reference) count(_ ctx, name string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows[name], nil
}

// withoutValues is a context that keeps nothing but the end of its parent.
type withoutValues struct{ context.Context }

func (withoutValues) Value(any) any { return nil }

// Transact is the store's half of what storetest's transact subtests are about.
func (r *reference) Transact(
	ctx ctx, key string, keep time.Duration, fn func(ctx) error,
) (State, error) {
	state, e, err := r.start(ctx, key)
	if e == nil {
		return state, err
	}
	tx, returned := &transaction{}, false
	defer func() {
		if returned {
			return
		}
		value := recover() // nil if the function has ended its goroutine
		fault := "Transact commits on Goexit"
		if value != nil {
			fault = "Transact commits on panic"
		}
		r.finish(e, tx, keep, r.has(fault))
		if value != nil && !r.has("Transact swallows the panic") {
			panic(value)
		}
	}()
	inner := ctx
	switch {
	case r.has("Transact drops the context's values"):
		inner = withoutValues{ctx}
	case r.has("Transact drops the context's end"):
		inner = context.WithoutCancel(ctx)
	}
	inner = context.WithValue(inner, txKey{}, tx)
	own := fn(inner)
	if own != nil && r.has("Transact runs the function again on an error") {
		tx.rows = nil
		own = fn(inner)
	}
	returned = true
	return r.conclude(ctx, e, tx, keep, own)
}

// start returns the entry if the transaction may begin.
func (r *reference) start(ctx ctx, key string) (State, *entry, error) {
	for {
		if err := r.begin(ctx, "Transact"); err != nil {
			if r.has("an error of Transact does not wrap ErrStore") {
				return 0, nil, err
			}
			return 0, nil, storeFailed(err)
		}
		e, now := r.find(key)
		c := r.busy(e, now, time.Second)
		switch {
		case c.State == geminihook.InProgress && r.has("Transact ignores claims"):
			c.State = 0
		case e.running && r.has("Transact ignores transactions"):
			c.State = 0
		case c.State == geminihook.Done && r.has("Transact runs what is done"):
			c.State = 0
		case e.running && r.has("Transact waits for another"):
			r.mu.Unlock()
			<-time.After(time.Millisecond)
			continue
		}
		if c.State == 0 {
			r.gap("Transact")
		}
		if c.State == 0 {
			e.running, e.owner = true, r
		}
		r.mu.Unlock()
		if c.State != 0 {
			return c.State, nil, nil
		}
		return geminihook.Acquired, e, nil
	}
}

// conclude commits or rolls back by what the function has returned.
func (r *reference) conclude(
	ctx ctx, e *entry, tx *transaction, keep time.Duration, own error,
) (State, error) {
	permanent := errors.Is(own, geminihook.ErrPermanent)
	if r.has("Transact looks at the outermost error only") {
		several, ok := own.(interface{ Unwrap() []error })
		permanent = ok && several.Unwrap()[0] == geminihook.ErrPermanent
	}
	if permanent && !r.has("Transact commits the writes of a permanent error") {
		tx.rows = nil
	}
	commit := own == nil || r.has("Transact commits on error")
	if permanent && !r.has("Transact rolls back a permanent mark") {
		commit = true
	}
	if err := ctx.Err(); err != nil && own == nil {
		tx.rows = nil
		r.finish(e, tx, keep, r.has("Transact commits the mark alone after the end of the context"))
		return geminihook.Acquired, storeFailed(err)
	}
	if tx.ended && !r.has("Transact does not notice that the transaction was ended") {
		tx.rows = nil
		fault := "Transact leaves the mark of a transaction that was ended"
		if own != nil {
			fault += ", after an error"
		}
		r.finish(e, tx, keep, r.has(fault))
		if permanent && r.has("Transact acknowledges a permanent error after the end") {
			return geminihook.Acquired, own
		}
		return geminihook.Acquired, storeFailed(errors.New("the function ended the transaction"))
	}
	r.finish(e, tx, keep, commit)
	if r.has("Transact takes the function's error for its own") && own != nil {
		return geminihook.Acquired, storeFailed(own)
	}
	return geminihook.Acquired, own
}

func (r *reference) finish(e *entry, tx *transaction, keep time.Duration, commit bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.running = false
	now := r.now()
	if commit && !r.has("Transact makes no mark") {
		if r.has("Transact keeps for half the keep") {
			keep /= 2
		}
		e.state, e.expires = geminihook.Done, now.Add(keep)
		if !r.has("Transact leaves the token of the claim before") {
			e.token = ""
		}
		e.attempt++
		if r.has("the mark of Transact outlives its keep after a claim") && !e.claimed.IsZero() {
			e.expires = now.Add(24 * time.Hour)
		}
	}
	if commit || r.has("Transact rolls back no writes") {
		r.commitRows(tx)
	}
	if !commit && r.has("a rolled back transaction is an attempt") {
		e.attempt++
		e.expires = now.Add(keep)
	}
}

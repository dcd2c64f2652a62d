package geminihook

import (
	"context"
	"time"
)

// State is what a Store knows of a key.
type State int

// The states of a key. The zero State is none of them, so that a broken Store
// fails closed.
const (
	Acquired   State = iota + 1 // the caller holds the key now and runs the function
	InProgress                  // another holds it
	Done                        // the function has succeeded
)

// A Store remembers which events were handled and which are being handled. It
// is shared by all instances that receive for the same webhook. Package
// storetest holds a Store to this contract.
//
// Every method is atomic, safe for concurrent use by several processes, and
// bounded in time by its context. An error, ErrLeaseLost apart, means that the
// store failed: never that the event is a duplicate, and never that it is not.
// Time is the store's own: durations go in, its clock decides.
//
// A key is any text that an HTTP header can hold: Endpoint uses KeyPrefix and
// webhook-id. Keys are compared byte for byte.
type Store interface {
	// Claim takes the key for a lease. It is Acquired if nobody knows the key,
	// if it was released, and if its lease has run out; InProgress while the
	// lease of another runs; Done once it was completed and until keep has
	// passed since. A key that is not completed may be forgotten when keep has
	// passed since its last claim, but not while its lease runs.
	Claim(ctx context.Context, key string, lease, keep time.Duration) (Claim, error)

	// Complete marks a claimed key as Done for the time keep. It succeeds as
	// long as nobody else took the key over, be the lease over or not, and
	// again if it is repeated. Else it is ErrLeaseLost.
	Complete(ctx context.Context, key, token string, keep time.Duration) error

	// Release ends the lease, so that the next Claim is Acquired, and keeps
	// the count of attempts. It is ErrLeaseLost if the token no longer holds
	// the key.
	Release(ctx context.Context, key, token string) error
}

// Claim is a Store's answer to the question whether to run.
type Claim struct {
	// State is Acquired, InProgress or Done.
	State State
	// Token names this claim, if it is Acquired: only with it can the key be
	// completed or released.
	Token string
	// Attempt counts the claims of this key that were Acquired, this one
	// included. Release does not set it back.
	Attempt int
	// RetryIn is what is left of the other's lease, if it is InProgress.
	RetryIn time.Duration
}

// A Renewer is a Store that can extend a lease, so that a run may take longer
// than the lease and a crash is still noticed when the lease ends.
type Renewer interface {
	// Renew makes the lease of a claimed key end after lease, counted from
	// now. It succeeds even after the lease has expired, unless another claim
	// has taken the key. Otherwise, and for a completed or released key, it
	// returns ErrLeaseLost. Like Claim, it keeps the entry until the lease has
	// ended.
	Renew(ctx context.Context, key, token string, lease time.Duration) error
}

// A Transactor is a Store whose mark commits together with what the function
// writes in the store's own database, so that those writes happen exactly
// once. Endpoint uses Transact in place of Claim, Complete and Release.
type Transactor interface {
	// Transact runs fn inside a transaction that marks the key as Done for the
	// time keep, unless it is Done or another is in progress.
	//
	// Acquired and nil: fn and the mark are committed. Acquired and an error:
	// both are rolled back; the error is fn's, or wraps ErrStore where the
	// store failed, which includes a commit whose fate is unknown. If fn's
	// error is ErrPermanent (errors.Is), its writes are rolled back and the
	// mark is committed; the error is returned. InProgress and Done: fn did
	// not run. If fn panics, both are rolled back and the panic goes on.
	//
	// It does not wait for a transaction that holds the same key.
	Transact(ctx context.Context, key string, keep time.Duration, fn func(ctx context.Context) error) (State, error)
}

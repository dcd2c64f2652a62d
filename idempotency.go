package geminihook

import (
	"context"
	"fmt"
	"time"
)

// A Store remembers which events were handled and which are being handled. All
// instances that receive events for the same webhook share it. Package storetest
// checks a Store against this contract.
//
// Every method is atomic, safe for concurrent use by all who share the store, and
// bounded in time by its context. An error other than [ErrLeaseLost] means that
// the store failed, and says nothing about the event. Methods take durations, not
// times, because the store's own clock decides.
//
// A key is any text that an HTTP header can hold. A Store must accept keys of up
// to 1,024 bytes at least, and compare them byte for byte.
//
// The caller makes a token at random for each claim. If the outcome of a Claim is
// unknown, for example because its response was lost, the caller can repeat it or
// release it with the same token. A token is at most 64 bytes of visible ASCII.
type Store interface {
	// Claim takes the key for the duration of a lease. The result is Acquired if
	// the key is unknown, was released, or its lease has expired; InProgress
	// while another claim's lease runs; Done from the time it was completed
	// until keep has passed. A key that is not completed may be forgotten when
	// keep has passed since it was last claimed, but not while its lease runs.
	//
	// A claim with the token that still has the key, even if its lease has
	// expired, is Acquired with the same Attempt, and its lease begins anew.
	// After Release it is a new attempt, and after Complete it is Done.
	Claim(ctx context.Context, key, token string, lease, keep time.Duration) (Claim, error)

	// Renew makes the lease of a claimed key end after the given duration from
	// now. It succeeds even after the lease has expired, unless another claim
	// has taken the key: then, and for a completed, released or unknown key, it
	// returns ErrLeaseLost. As after Claim, the key is not forgotten before the
	// lease ends.
	Renew(ctx context.Context, key, token string, lease time.Duration) error

	// Complete marks a claimed key as Done for keep, from now on. It succeeds
	// even after the lease has expired, unless another claim has taken the key:
	// then, and for a released or unknown key, it returns ErrLeaseLost.
	// Repeating it succeeds and changes nothing.
	Complete(ctx context.Context, key, token string, keep time.Duration) error

	// Release ends the lease, so that the next Claim is Acquired, and keeps the
	// count of attempts. It succeeds even after the lease has expired, unless
	// another claim has taken the key: then, and for a completed, released or
	// unknown key, it returns ErrLeaseLost. So a Release that is repeated
	// because its response was lost also returns ErrLeaseLost.
	Release(ctx context.Context, key, token string) error
}

// State is what a [Store] or a [Transactor] knows about a key.
type State int

// The states of a key. The zero State is invalid, so that a broken Store fails
// closed.
const (
	Acquired   State = iota + 1 // the caller has the key now and runs the function
	InProgress                  // another claim or transaction has it
	Done                        // the event was handled
)

// String returns the name of the constant, or the number of an invalid State.
func (s State) String() string {
	switch s {
	case Acquired:
		return "Acquired"
	case InProgress:
		return "InProgress"
	case Done:
		return "Done"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Claim is the result of [Store.Claim].
type Claim struct {
	// State is Acquired, InProgress or Done.
	State State
	// Attempt counts the claims of this key that were Acquired, including this
	// one. Release does not reset it. It is zero in other states.
	Attempt int
	// RetryIn is the remainder of the other claim's lease if this one is
	// InProgress. It is zero in other states.
	RetryIn time.Duration
}

// A Transactor marks an event as handled in the same transaction in which the
// program's function writes to the same database, so that those writes happen
// exactly once. [Endpoint.Transactor] uses it in place of a Store.
type Transactor interface {
	// Transact runs fn inside a transaction that marks the key as Done for the
	// duration keep, unless it is already Done or another run is in progress.
	//
	// Acquired with a nil error means that fn's writes and the mark are
	// committed. Acquired with an error, such as fn's own, means that both were
	// rolled back, with two exceptions: if fn's error wraps ErrPermanent, the
	// mark is committed; and if the error wraps ErrStore, the store failed, and
	// the fate of a commit may be unknown. InProgress and Done mean that fn did
	// not run. If fn panics or calls runtime.Goexit, both are rolled back and
	// the panic or exit continues.
	//
	// If fn ends or restarts the transaction by SQL, such as COMMIT or
	// ROLLBACK, Transact returns an error, and the key is not Done afterward.
	//
	// Transact does not wait for a transaction that has the same key. Only an
	// engine that has one writer at a time, such as SQLite, may wait for a
	// transaction of another process until the context ends; it then does not
	// run fn. Transact must return soon after its context ends. The context's
	// deadline bounds the whole call.
	Transact(
		ctx context.Context, key string, keep time.Duration, fn func(ctx context.Context) error,
	) (State, error)
}

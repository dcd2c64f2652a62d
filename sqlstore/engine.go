package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/geminihook/geminihook"
)

// engine is what a dialect does.
type engine interface {
	// claim returns the zero Claim if the key changed hands while it was looked at.
	claim(
		ctx context.Context, key, token string, lease, keep time.Duration,
	) (geminihook.Claim, error)
	// These report whether the token had the key.
	renew(ctx context.Context, key, token string, lease time.Duration) (bool, error)
	complete(ctx context.Context, key, token string, keep time.Duration) (bool, error)
	release(ctx context.Context, key, token string) (bool, error)

	// begin begins a transaction that has the lock of the key. If the key is not
	// free, there is no transaction.
	begin(ctx context.Context, key string) (transaction, geminihook.State, error)

	// purge removes up to so many rows that have expired.
	purge(ctx context.Context, limit int) (int, error)

	// migrate creates the table, and check tries whether a key can be claimed.
	migrate(ctx context.Context) error
	check(ctx context.Context) error
}

// tries is how often a call looks at a key that changes hands each time, and
// repeats a statement that the database gave up because of a deadlock.
const tries = 10

// transaction is one that an engine has begun.
type transaction interface {
	// conn is the connection on which it runs.
	conn() *sql.Conn
	// commit marks the key as done and commits, unless the function has ended the
	// transaction. If undo is true, it rolls back what the function wrote first.
	commit(ctx context.Context, keep time.Duration, undo bool) error
	// close rolls back what was not committed, and gives the connection back.
	close(ctx context.Context)
}

// The states of a row, in each of the tables.
const (
	released = iota
	claimed
	done
)

// randomKey returns a key for Check.
func randomKey() []byte { return []byte("check:" + rand.Text()) }

// micros returns a duration in microseconds, rounded up.
func micros(d time.Duration) int64 { return max(0, int64((d-1)/time.Microsecond)+1) }

// inProgress returns the claim of a key whose lease lasts for so many microseconds.
func inProgress(left int64) geminihook.Claim {
	return geminihook.Claim{
		State:   geminihook.InProgress,
		RetryIn: time.Duration(left) * time.Microsecond,
	}
}

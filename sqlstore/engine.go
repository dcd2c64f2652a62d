package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// engine is a Store and a Transactor in one dialect.
type engine interface {
	// claim claims the key. It returns the zero Claim, and should be called again, if
	// the key changed hands between two of its statements.
	claim(
		ctx context.Context, key, token string, lease, keep time.Duration,
	) (geminihook.Claim, error)
	// renew, complete and release report whether the token had the key.
	renew(ctx context.Context, key, token string, lease time.Duration) (bool, error)
	complete(ctx context.Context, key, token string, keep time.Duration) (bool, error)
	release(ctx context.Context, key, token string) (bool, error)

	// begin begins a transaction that has the lock of the key, and can mark it as done
	// for the duration keep. If the key is not free, there is no transaction.
	begin(
		ctx context.Context, key string, keep time.Duration,
	) (transaction, geminihook.State, error)

	// purge removes up to limit expired rows and returns how many it removed.
	purge(ctx context.Context, limit int) (int, error)

	// migrate creates the table unless it exists.
	migrate(ctx context.Context) error
	// check tests whether a key can be claimed.
	check(ctx context.Context) error
}

// tries is how many times Claim looks at a key that changes hands each time, and how
// many times a statement is executed that the database aborts because of a deadlock.
const tries = 10

// savepoint is the name of the savepoint that tells whether a transaction is still
// the one that the store has begun. It is random, so that no savepoint of a function
// passes for it.
var savepoint = "geminihook_" + strings.ToLower(rand.Text())

// transaction is a transaction that an engine has begun.
type transaction interface {
	// conn is the connection on which it runs.
	conn() *sql.Conn
	// commit marks the key as done and commits, unless the function has ended the
	// transaction. If undo is true, it rolls back what the function wrote first.
	commit(ctx context.Context, undo bool) error
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

// inProgress returns the Claim for a key whose lease ends in left microseconds.
func inProgress(left int64) geminihook.Claim {
	return geminihook.Claim{
		State:   geminihook.InProgress,
		RetryIn: time.Duration(left) * time.Microsecond,
	}
}

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math"
	"time"
)

// discard closes the connection instead of giving it back to the pool.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// execLate executes a statement even if the context has ended, and reports whether it
// succeeded.
func execLate(ctx context.Context, conn *sql.Conn, query string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	_, err := conn.ExecContext(ctx, query)
	return err == nil
}

// remaining is how long the function may leave its transaction idle: from a second
// to 24 days, and an hour if the context has no deadline.
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return min(max(time.Until(deadline), time.Second), math.MaxInt32*time.Millisecond)
}

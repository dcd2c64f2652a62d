package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// acquire waits for a connection of the pool, as long as the context lasts.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	start := time.Now()
	conn, err := s.pool.Acquire(ctx)
	if err == nil {
		return conn, nil
	}
	stat := s.pool.Stat()
	if ctx.Err() != nil && stat.AcquiredConns() >= stat.MaxConns() {
		return nil, fmt.Errorf("waited %v for a connection of the pool, all %d of which are in use: raise its MaxConns: %w",
			time.Since(start).Round(time.Millisecond), stat.MaxConns(), err)
	}
	return nil, err
}

// row runs one statement and scans the row that it returns, if any. It takes one
// round trip.
func (s *Store) row(
	ctx context.Context, sql string, args []any, into ...any,
) (found bool, err error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	err = conn.QueryRow(ctx, sql, args...).Scan(into...)
	if code(err) == serialization {
		err = readCommitted(ctx, conn, sql, args, into)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		// The pool may have a connection to a better server, or one whose session
		// no function has changed.
		_ = conn.Conn().Close(ctx)
		return false, err
	}
	return true, nil
}

// readCommitted repeats a statement that met another one, if the database's default
// isolation level is stricter than READ COMMITTED. At that level, it waits for the
// other one and goes on with what that has committed. Stating the level each time
// would cost two more statements.
func readCommitted(ctx context.Context, conn *pgxpool.Conn, sql string, args, into []any) error {
	var scanErr error
	var b pgx.Batch
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	b.Queue(sql, args...).QueryRow(func(row pgx.Row) error {
		scanErr = row.Scan(into...)
		if errors.Is(scanErr, pgx.ErrNoRows) {
			return nil
		}
		return scanErr
	})
	b.Queue("COMMIT")
	if err := conn.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	return scanErr
}

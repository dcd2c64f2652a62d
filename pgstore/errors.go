package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5/pgconn"
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

// failure completes the error of a call to the database.
func (s *Store) failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if hint := s.hint(err); hint != "" {
		return fmt.Errorf("pgstore: %w (%s)", err, hint)
	}
	return fmt.Errorf("pgstore: %w", err)
}

func (s *Store) storeFailed(ctx context.Context, err error) error {
	return fmt.Errorf("%w: %w", geminihook.ErrStore, s.failure(ctx, err))
}

// hint says what to do about an error whose text does not.
func (s *Store) hint(err error) string {
	switch code(err) {
	case "42P01":
		return "call Migrate, or apply schema.sql"
	case "26000", "42P05", "08P01":
		return "a pooler in transaction mode needs default_query_exec_mode=exec in the connection string"
	case readOnly:
		return "the connection is to a standby or to a primary that was made read-only, and is closed: " +
			"target_session_attrs=read-write in the connection string avoids such servers"
	}
	return ""
}

// readOnly is the SQLSTATE of a write in a read-only transaction.
const readOnly = "25006"

// code returns the SQLSTATE that the server responded with, if any.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// refused reports whether the server responded that it did not run a statement,
// as opposed to ending the connection or not responding.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR"
}

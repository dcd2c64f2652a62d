package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/geminihook/geminihook"
	"github.com/jackc/pgx/v5/pgconn"
)

// The SQLSTATEs that the store looks at.
const (
	readOnly      = "25006"
	noSavepoint   = "3B001"
	noTransaction = "25P01"
	serialization = "40001"
)

// failure completes the error of a call to the database.
func failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if hint := hint(err); hint != "" {
		return fmt.Errorf("pgstore: %w (%s)", err, hint)
	}
	return fmt.Errorf("pgstore: %w", err)
}

// storeFailed is failure for Transact.
func storeFailed(ctx context.Context, err error) error {
	return fmt.Errorf("%w: %w", geminihook.ErrStore, failure(ctx, err))
}

const hintReadOnly = "the connection is to a standby or to a primary that was made read-only, and is closed: " +
	"target_session_attrs=read-write in the connection string avoids such servers"

// hint says what to do about an error whose text does not.
func hint(err error) string {
	switch code(err) {
	case "42P01":
		return "call Migrate, or apply schema.sql; if the table was moved to another schema, restart the program"
	case "42501":
		return "grant SELECT, INSERT, UPDATE and DELETE on the table; if a function executes SET ROLE in its transaction, " +
			"it must RESET ROLE before it returns"
	case "26000", "42P05", "08P01":
		return "a pooler in transaction mode needs default_query_exec_mode=exec in the connection string"
	case readOnly:
		return hintReadOnly
	}
	return ""
}

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

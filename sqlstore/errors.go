package sqlstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/geminihook/geminihook"
)

// functionError is why the end of a transaction failed if the function caused it.
type functionError struct {
	text string
	err  error
}

func (e *functionError) Error() string { return e.text + ": " + e.err.Error() }
func (e *functionError) Unwrap() error { return e.err }

const endedText = "the function, or the database on its behalf, ended the transaction with a statement such as COMMIT or ROLLBACK: " +
	"the event is not marked as done, and what was committed remains"

const deallocatedText = "the function removed the session's prepared statements, which the store needs"

// The SQLSTATEs that the store looks at.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	noSavepoint          = "3B001"
	noTransaction        = "25P01"
	transactionAborted   = "25P02"
	notNull              = "23502"
	uniqueViolation      = "23505"
	unknownStatement     = "26000"
	duplicateStatement   = "42P05"
)

// sqlState returns the SQLSTATE that PostgreSQL responded with, if any. The errors
// of both drivers have such a method.
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// The numbers of errors that the store looks at.
const (
	mysqlDeadlock         = 1213
	mysqlChanged          = 1020 // MariaDB, with innodb_snapshot_isolation: a record has changed
	mysqlNoSavepoint      = 1305
	mysqlUnknownStatement = 1243
	mysqlNotNull          = 1048
)

// mysqlNumber returns the number of an error that MySQL responded with, or zero. It
// reads the text, "Error 1213 (40001): …", because the driver's error has no method.
func mysqlNumber(err error) (number int) {
	for ; err != nil; err = errors.Unwrap(err) {
		if n, _ := fmt.Sscanf(err.Error(), "Error %d", &number); n == 1 {
			return number
		}
	}
	return 0
}

// failure completes the error of a call to the database.
func failure(err error) error {
	if err == nil {
		return nil
	}
	if missesTable(err.Error()) {
		return fmt.Errorf("sqlstore: %w (call Migrate, or apply the statements in the folder schema; if the table exists, "+
			"a function may have changed the connection's search_path or database)", err)
	}
	return fmt.Errorf("sqlstore: %w", err)
}

// missesTable reports whether a database's error says that the table does not exist.
func missesTable(text string) bool {
	if !strings.Contains(text, "geminihook_deliveries") {
		return false
	}
	return strings.Contains(text, "no such table") || strings.Contains(text, "does not exist") ||
		strings.Contains(text, "doesn't exist")
}

// storeFailed is failure for Transact.
func storeFailed(err error) error {
	if errors.Is(err, geminihook.ErrStore) {
		return failure(err)
	}
	return fmt.Errorf("%w: %w", geminihook.ErrStore, failure(err))
}

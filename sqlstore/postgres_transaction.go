package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// postgresTransaction is what one call of Transact holds. An advisory lock is taken
// first and the mark is written last, so that nothing that the function executes
// can commit a mark. In between, a savepoint is what tells whether it is still the
// same transaction.
type postgresTransaction struct {
	engine     *postgres
	sql        *postgresStatements
	key        string
	keep       time.Duration
	known      bool // the key had a row when the transaction began
	connection *sql.Conn
	committed  bool
}

const postgresBegin = "BEGIN ISOLATION LEVEL READ COMMITTED;"

func (e *postgres) begin(
	ctx context.Context, key string, keep time.Duration,
) (transaction, geminihook.State, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return nil, 0, err
	}
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return nil, 0, err
	}
	t := &postgresTransaction{engine: e, sql: s, key: key, keep: keep, connection: conn}
	state, err := t.begin(ctx)
	if err != nil || state != geminihook.Acquired {
		t.close(ctx)
	}
	return t, state, err
}

// begin takes one round trip: texts without parameters are the only way to send several
// statements at once. All that comes back is how many rows the last one returns.
func (t *postgresTransaction) begin(ctx context.Context) (geminihook.State, error) {
	idle := remaining(ctx).Milliseconds()
	lock := fmt.Sprintf("'%d'", lockOf(t.key))
	take := executeStatement(t.sql.lock, fmt.Sprintf("'%d'", idle), lock) +
		"SAVEPOINT " + savepoint + ";" + executeStatement(t.sql.look, t.keyInHex())
	result, err := t.connection.ExecContext(ctx, postgresBegin+take)
	if sqlState(err) == unknownStatement { // the session is new
		result, err = t.prepareAndTake(ctx, take)
	}
	if err != nil {
		return 0, err
	}
	rows, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	switch rows {
	case postgresUnknown:
		return geminihook.Acquired, nil
	case postgresKnown:
		t.known = true
		return geminihook.Acquired, nil
	case postgresInProgress:
		return geminihook.InProgress, nil
	case postgresDone:
		return geminihook.Done, nil
	case postgresReadOnly:
		return 0, errors.New("the server refuses writes")
	}
	return 0, fmt.Errorf("the driver reported %d rows for a statement that returns 1 to 5", rows)
}

// prepareAndTake prepares the statements and executes take, in one transaction, during
// which a pooler does not change the session. The statement that begin executes first is
// the last to be prepared, so that a session that knows it knows all of them, even if
// preparing failed halfway: PREPARE is not rolled back.
func (t *postgresTransaction) prepareAndTake(
	ctx context.Context, take string,
) (sql.Result, error) {
	if _, err := t.connection.ExecContext(ctx, "ROLLBACK;"+postgresBegin); err != nil {
		return nil, err
	}
	for _, s := range []sessionStatement{t.sql.remark, t.sql.mark, t.sql.look, t.sql.lock} {
		if err := t.prepare(ctx, s); err != nil {
			return nil, err
		}
	}
	return t.connection.ExecContext(ctx, take)
}

// prepare prepares a statement unless the session knows it, as that of a pooler may.
func (t *postgresTransaction) prepare(ctx context.Context, s sessionStatement) error {
	prepare := "SAVEPOINT prepare; PREPARE " + s.name + " AS " + s.query
	_, err := t.connection.ExecContext(ctx, prepare)
	if sqlState(err) == duplicateStatement {
		_, err = t.connection.ExecContext(ctx, "ROLLBACK TO SAVEPOINT prepare")
	}
	return err
}

// executeStatement returns the text that executes a statement with SQL expressions as
// parameters.
func executeStatement(s sessionStatement, args ...string) string {
	return "EXECUTE " + s.name + " (" + strings.Join(args, ", ") + ");"
}

// keyInHex returns the key as an SQL expression that no setting of the session changes.
func (t *postgresTransaction) keyInHex() string { return fmt.Sprintf("decode('%x', 'hex')", t.key) }

func (t *postgresTransaction) conn() *sql.Conn { return t.connection }

// commit takes one round trip. The commit also runs the constraints and triggers
// that are deferred: what they refuse is what the function wrote.
func (t *postgresTransaction) commit(ctx context.Context, undo bool) error {
	mark := t.sql.mark
	if t.known {
		mark = t.sql.remark
	}
	query := "RELEASE SAVEPOINT " + savepoint + ";" +
		executeStatement(mark, t.keyInHex(), fmt.Sprint(seconds(t.keep))) + "COMMIT"
	if undo {
		query = "ROLLBACK TO SAVEPOINT " + savepoint + ";" + query
	}
	_, err := t.connection.ExecContext(ctx, query)
	state := sqlState(err)
	switch {
	case err == nil:
		t.committed = true
		return nil
	case state == noSavepoint || state == noTransaction:
		return &functionError{text: endedText, err: err}
	case state == unknownStatement:
		discard(t.connection)
		return &functionError{text: deallocatedText, err: err}
	case state == transactionAborted:
		const text = "the function did not return an SQL error that aborted its transaction"
		return &functionError{text: text, err: err}
	case marksTaken(err):
		return errors.New("a claim whose lease had ended was renewed or completed while the function ran")
	case strings.HasPrefix(state, "23") || strings.HasPrefix(state, "P0"):
		const text = "the commit was refused because of what the function wrote"
		return &functionError{text: text, err: err}
	}
	return fmt.Errorf("the commit failed, or its result is unknown: %w", err)
}

// marksTaken reports whether the error is that of a mark whose key is not free.
func marksTaken(err error) bool {
	state := sqlState(err)
	return (state == notNull || state == uniqueViolation) &&
		strings.Contains(err.Error(), "geminihook_deliveries")
}

// close rolls back although the context may have ended: the lock should not wait
// for the server to notice a closed connection.
func (t *postgresTransaction) close(ctx context.Context) {
	if !t.committed && !execLate(ctx, t.connection, "ROLLBACK") {
		discard(t.connection)
	}
	_ = t.connection.Close()
	if t.committed {
		t.engine.purgeSome(ctx)
	}
}

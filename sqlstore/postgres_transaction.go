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
	connection *sql.Conn
	committed  bool
}

func (e *postgres) begin(ctx context.Context, key string) (transaction, geminihook.State, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return nil, 0, err
	}
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return nil, 0, err
	}
	t := &postgresTransaction{engine: e, sql: s, key: key, connection: conn}
	state, err := t.begin(ctx)
	if err != nil || state != geminihook.Acquired {
		t.close(ctx)
	}
	return t, state, err
}

func (t *postgresTransaction) begin(ctx context.Context) (geminihook.State, error) {
	begin := fmt.Sprintf(postgresBegin, lockOf(t.key), t.sql.number,
		remaining(ctx).Milliseconds(), savepoint)
	if _, err := t.connection.ExecContext(ctx, begin); err != nil {
		return 0, err
	}
	var state int
	var locked, readOnly bool
	look := t.connection.QueryRowContext(ctx, t.sql.look, []byte(t.key))
	err := look.Scan(&state, &locked, &readOnly)
	switch {
	case err != nil:
		return 0, err
	case readOnly:
		return 0, errors.New("the server refuses writes")
	case state == done:
		return geminihook.Done, nil
	case state == claimed || !locked:
		return geminihook.InProgress, nil
	}
	return geminihook.Acquired, nil
}

func (t *postgresTransaction) conn() *sql.Conn { return t.connection }

// commit takes one round trip. The commit also runs the constraints and triggers
// that are deferred: what they refuse is what the function wrote.
func (t *postgresTransaction) commit(ctx context.Context, keep time.Duration, undo bool) error {
	query := fmt.Sprintf(t.sql.mark, t.key, seconds(keep), savepoint)
	if undo {
		query = fmt.Sprintf(postgresUndo, savepoint) + query
	}
	_, err := t.connection.ExecContext(ctx, query)
	state := sqlState(err)
	switch {
	case err == nil:
		t.committed = true
		return nil
	case state == noSavepoint || state == noTransaction:
		return &functionError{text: endedText, err: err}
	case state == transactionAborted:
		const text = "the function did not return an SQL error that aborted its transaction"
		return &functionError{text: text, err: err}
	case state == notNull && strings.Contains(err.Error(), "geminihook_deliveries"):
		return errors.New("a claim whose lease had ended was renewed or completed while the function ran")
	case strings.HasPrefix(state, "23") || strings.HasPrefix(state, "P0"):
		const text = "the commit was refused because of what the function wrote"
		return &functionError{text: text, err: err}
	}
	return fmt.Errorf("the commit failed, or its result is unknown: %w", err)
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

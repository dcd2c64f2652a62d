package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	// The function's statements are in between, so these are two of the three
	// round trips of a transaction; the third one reads the state. They are sent
	// without parameters, which is the only way to send several statements at
	// once. %[1]d lock, %[2]s its number in the table, %[3]d how long the
	// transaction may be idle, in milliseconds.
	postgresBegin = `
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL idle_in_transaction_session_timeout = %[3]d;
SELECT set_config('geminihook.locked', pg_try_advisory_xact_lock('%[1]d'::bigint # %[2]s)::text, true);
SAVEPOINT geminihook`

	// $1 key. The state is read after the lock was taken: in one statement it
	// would be older than the lock, and a mark that was committed in between
	// would be missed.
	postgresLook = `
SELECT coalesce(d.state, 0), current_setting('geminihook.locked')::bool, current_setting('transaction_read_only')::bool
FROM (SELECT) AS always LEFT JOIN TABLE AS d ON d.key = $1 AND NOT FREE`

	// %[1]x key, %[2]v keep. A key that is no longer free, because a claim whose
	// lease had ended was renewed or completed meanwhile, makes the state null,
	// which the table refuses.
	postgresMark = `
RELEASE SAVEPOINT geminihook;
INSERT INTO TABLE AS d (key, state, attempt, lease, expires)
VALUES (decode('%[1]x', 'hex'), 2, 1, clock_timestamp(), EXPIRES)
ON CONFLICT (key) DO UPDATE
SET state = CASE WHEN FREE THEN 2 END, token = NULL, attempt = d.attempt + 1, expires = excluded.expires;
COMMIT`

	postgresUndo = `ROLLBACK TO SAVEPOINT geminihook;`
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
	begin := fmt.Sprintf(postgresBegin, lockOf(t.key), t.sql.number, remaining(ctx).Milliseconds())
	if _, err := t.connection.ExecContext(ctx, begin); err != nil {
		return 0, err
	}
	var state int
	var locked, readOnly bool
	err := t.connection.QueryRowContext(ctx, t.sql.look, []byte(t.key)).Scan(&state, &locked, &readOnly)
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

// remaining is how long the function may leave its transaction idle: from a second
// to 24 days, and an hour if the context has no deadline.
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return min(max(time.Until(deadline), time.Second), math.MaxInt32*time.Millisecond)
}

func (t *postgresTransaction) conn() *sql.Conn { return t.connection }

// commit takes one round trip. The commit also runs the constraints and triggers
// that are deferred: what they refuse is what the function wrote.
func (t *postgresTransaction) commit(ctx context.Context, keep time.Duration, undo bool) error {
	query := fmt.Sprintf(t.sql.mark, t.key, seconds(keep))
	if undo {
		query = postgresUndo + query
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
		return &functionError{text: "the function did not return an SQL error that aborted its transaction", err: err}
	case state == notNull && strings.Contains(err.Error(), "geminihook_deliveries"):
		return errors.New("a claim whose lease had ended was renewed or completed while the function ran")
	case strings.HasPrefix(state, "23") || strings.HasPrefix(state, "P0"):
		return &functionError{text: "the commit was refused because of what the function wrote", err: err}
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

// execLate executes a statement after the context may have ended.
func execLate(ctx context.Context, conn *sql.Conn, query string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	_, err := conn.ExecContext(ctx, query)
	return err == nil
}

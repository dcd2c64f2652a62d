package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	// The lock is that of the session and outlasts the transaction. A connection
	// that has vanished without a word keeps it until wait_timeout, which is 8
	// hours by default. %[1]s lock, %[2]d how long the function may leave its
	// transaction idle, in seconds.
	mysqlLock = `
SET @geminihook_wait = @@SESSION.wait_timeout, @geminihook_locked = GET_LOCK('%[1]s', 0), SESSION wait_timeout = %[2]d`

	mysqlUnlock = `
SET SESSION wait_timeout = @geminihook_wait, @geminihook_locked = RELEASE_LOCK('%[1]s')`

	// %[1]x key. The state is read after the lock was taken.
	mysqlLook = `
SELECT @geminihook_locked = 1, COALESCE((SELECT state FROM TABLE
	WHERE event_key = x'%[1]x' AND expires > NOW AND (state = 2 OR (state = 1 AND lease > NOW))), 0)`

	// %[1]x key, %[2]d keep. The state is 2, or it is 3 and never committed if the
	// key is no longer free, because a claim has taken it meanwhile.
	mysqlMark = `
INSERT INTO TABLE (event_key, state, attempt, lease, expires)
VALUES (x'%[1]x', LAST_INSERT_ID(2), 1, 0, NOW + %[2]d)
ON DUPLICATE KEY UPDATE
	state = LAST_INSERT_ID(IF(expires <= NOW OR state = 0 OR (state = 1 AND lease <= NOW), 2, 3)),
	token = NULL, attempt = attempt + 1, expires = NOW + %[2]d`
)

// mysqlTransaction is what one call of Transact holds. A lock is taken first and the
// mark is written last, so that nothing that the function executes can commit a
// mark. In between, a savepoint is what tells whether it is still the same
// transaction.
type mysqlTransaction struct {
	engine     *mysql
	sql        *mysqlStatements
	key, lock  string
	connection *sql.Conn
	committed  bool
}

func (e *mysql) begin(ctx context.Context, key string) (transaction, geminihook.State, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := fits(key); err != nil {
		return nil, 0, err
	}
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return nil, 0, err
	}
	t := &mysqlTransaction{engine: e, sql: s, key: key, lock: s.lock(key), connection: conn}
	state, err := t.begin(ctx)
	if err != nil || state != geminihook.Acquired {
		t.close(ctx)
	}
	return t, state, err
}

func (t *mysqlTransaction) begin(ctx context.Context) (geminihook.State, error) {
	idle := remaining(ctx).Round(time.Second) + time.Second
	if err := t.exec(ctx, fmt.Sprintf(mysqlLock, t.lock, int64(idle.Seconds()))); err != nil {
		return 0, err
	}
	var locked bool
	var state int
	err := t.connection.QueryRowContext(ctx, fmt.Sprintf(t.sql.look, t.key)).Scan(&locked, &state)
	switch {
	case err != nil:
		return 0, err
	case state == done:
		return geminihook.Done, nil
	case state == claimed || !locked:
		return geminihook.InProgress, nil
	}
	return geminihook.Acquired, t.exec(ctx,
		"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION", "SAVEPOINT geminihook")
}

// exec executes statements until one fails.
func (t *mysqlTransaction) exec(ctx context.Context, queries ...string) error {
	for _, query := range queries {
		if _, err := t.connection.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func (t *mysqlTransaction) conn() *sql.Conn { return t.connection }

func (t *mysqlTransaction) commit(ctx context.Context, keep time.Duration, undo bool) error {
	release := []string{"RELEASE SAVEPOINT geminihook"}
	if undo {
		release = []string{"ROLLBACK TO SAVEPOINT geminihook", "RELEASE SAVEPOINT geminihook"}
	}
	err := t.exec(ctx, release...)
	if mysqlNumber(err) == mysqlNoSavepoint {
		return &functionError{text: endedText, err: err}
	}
	if err != nil {
		return err
	}
	result, err := t.connection.ExecContext(ctx, fmt.Sprintf(t.sql.mark, t.key, micros(keep)))
	if err != nil {
		return err
	}
	state, err := result.LastInsertId()
	if err != nil {
		return err
	}
	if state != done {
		return errors.New("a claim took the key while the function ran")
	}
	if err := t.exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("the commit failed, or its result is unknown: %w", err)
	}
	t.committed = true
	return nil
}

// close rolls back although the context may have ended: the lock should not wait
// for the server to notice a closed connection.
func (t *mysqlTransaction) close(ctx context.Context) {
	ended := t.committed || execLate(ctx, t.connection, "ROLLBACK")
	if !ended || !execLate(ctx, t.connection, fmt.Sprintf(mysqlUnlock, t.lock)) {
		discard(t.connection)
	}
	_ = t.connection.Close()
	if t.committed {
		t.engine.purgeSome(ctx)
	}
}

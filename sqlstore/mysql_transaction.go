package sqlstore

import (
	"context"
	"database/sql"
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

	// %[1]x key, %[2]d how long a row is kept that is only this. It locks the key's
	// row and brings back its state, if the lock was taken: 1 if the key is free. A
	// claim that has seen the lock free a moment ago is now either committed, or
	// waits for the row until the transaction ends. The row is not the mark: if the
	// function commits it, the key is as after Release.
	mysqlTake = `
INSERT INTO TABLE (event_key, state, attempt, lease, expires)
SELECT x'%[1]x', 0, 0, 0, NOW + LAST_INSERT_ID(1) - 1 + %[2]d FROM DUAL WHERE @geminihook_locked = 1
ON DUPLICATE KEY UPDATE attempt = IF(LAST_INSERT_ID(CASE
	WHEN expires <= NOW OR state = 0 OR (state = 1 AND lease <= NOW) THEN 1
	WHEN state = 2 THEN 2 ELSE 3 END) > 0, attempt, 0)`

	// %[1]x key, %[2]d keep. The row may be gone: only if the transaction is still
	// the same, nothing has changed it.
	mysqlMark = `
INSERT INTO TABLE (event_key, state, attempt, lease, expires)
VALUES (x'%[1]x', 2, 1, 0, NOW + %[2]d)
ON DUPLICATE KEY UPDATE state = 2, token = NULL, attempt = attempt + 1, expires = NOW + %[2]d`
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
	state, err := retryDeadlock(func() (geminihook.State, error) { return t.take(ctx) })
	if err != nil || state != geminihook.Acquired {
		return state, err
	}
	return state, t.exec(ctx, "SAVEPOINT geminihook")
}

// take begins the transaction and takes the key, or returns its state.
func (t *mysqlTransaction) take(ctx context.Context) (geminihook.State, error) {
	err := t.exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION")
	if err != nil {
		return 0, err
	}
	result, err := t.connection.ExecContext(ctx, fmt.Sprintf(t.sql.take, t.key, micros(time.Hour)))
	if err != nil {
		_ = t.exec(ctx, "ROLLBACK") // before another try
		return 0, err
	}
	code, err := result.LastInsertId()
	if err != nil {
		return 0, err
	}
	switch code {
	case mysqlAcquired:
		return geminihook.Acquired, nil
	case mysqlDone:
		return geminihook.Done, nil
	}
	return geminihook.InProgress, nil
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
	if err := t.exec(ctx, fmt.Sprintf(t.sql.mark, t.key, micros(keep))); err != nil {
		return err
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

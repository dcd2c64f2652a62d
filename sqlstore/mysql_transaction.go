package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

// mysqlTransaction is what one call of Transact holds. A lock is taken first and the
// mark is written last, so that nothing that the function executes can commit a
// mark. In between, a savepoint is what tells whether it is still the same
// transaction.
type mysqlTransaction struct {
	engine     *mysql
	sql        *mysqlStatements
	key, lock  string
	keep       time.Duration
	connection *sql.Conn
	committed  bool
}

func (e *mysql) begin(
	ctx context.Context, key string, keep time.Duration,
) (transaction, geminihook.State, error) {
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
	t := &mysqlTransaction{
		engine: e, sql: s, key: key, lock: s.lock(key), keep: keep, connection: conn,
	}
	state, err := t.begin(ctx)
	if err != nil || state != geminihook.Acquired {
		t.close(ctx)
	}
	return t, state, err
}

func (t *mysqlTransaction) begin(ctx context.Context) (geminihook.State, error) {
	idle := remaining(ctx).Round(time.Second) + time.Second
	keepFor, step := mysqlKeep(t.keep)
	begin := fmt.Sprintf(t.sql.begin, t.lock, int64(idle.Seconds()), t.key, keepFor, step)
	if err := t.exec(ctx, begin); err != nil {
		return 0, err
	}
	state, err := retryDeadlock(func() (geminihook.State, error) { return t.take(ctx) })
	if err != nil || state != geminihook.Acquired {
		return state, err
	}
	return state, t.exec(ctx, "SAVEPOINT "+savepoint)
}

// take begins the transaction and takes the key, or returns its state.
func (t *mysqlTransaction) take(ctx context.Context) (geminihook.State, error) {
	code, err := t.execute(ctx, t.sql.take)
	if mysqlNumber(err) == mysqlUnknownStatement { // the session is new
		if err := t.prepare(ctx, t.sql.mark, t.sql.take); err != nil {
			return 0, err
		}
		code, err = t.execute(ctx, t.sql.take)
	}
	if mysqlNumber(err) == mysqlNotNull { // another transaction has the lock
		return geminihook.InProgress, nil
	}
	if err != nil {
		_ = t.exec(ctx, "ROLLBACK") // before another try
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

// prepare prepares statements. The one that take executes is the last, so that a session
// that knows it knows all of them, even if preparing failed halfway. Their text is sent
// in hexadecimal, which no setting of the session changes.
func (t *mysqlTransaction) prepare(ctx context.Context, statements ...sessionStatement) error {
	for _, s := range statements {
		text := fmt.Sprintf("SET @geminihook_text = CONVERT(x'%x' USING utf8mb4)", s.query)
		if err := t.exec(ctx, text, "PREPARE "+s.name+" FROM @geminihook_text"); err != nil {
			return err
		}
	}
	return nil
}

// execute executes a statement that is prepared, and returns what LAST_INSERT_ID was
// given.
func (t *mysqlTransaction) execute(ctx context.Context, s sessionStatement) (int64, error) {
	result, err := t.connection.ExecContext(ctx, "EXECUTE "+s.name)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
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

func (t *mysqlTransaction) commit(ctx context.Context, undo bool) error {
	queries := []string{"RELEASE SAVEPOINT " + savepoint}
	if undo {
		queries = []string{"ROLLBACK TO SAVEPOINT " + savepoint, queries[0]}
	}
	err := t.exec(ctx, queries...)
	if mysqlNumber(err) == mysqlNoSavepoint {
		return &functionError{text: endedText, err: err}
	}
	if err != nil {
		return err
	}
	if err := t.mark(ctx); err != nil {
		return err
	}
	if err := t.exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("the commit failed, or its result is unknown: %w", err)
	}
	t.committed = true
	return nil
}

func (t *mysqlTransaction) mark(ctx context.Context) error {
	id, err := t.execute(ctx, t.sql.mark)
	switch {
	case mysqlNumber(err) == mysqlUnknownStatement:
		discard(t.connection)
		return &functionError{text: deallocatedText, err: err}
	case err != nil:
		return err
	case id == mysqlWrongClock:
		return errors.New("the function set the session's timestamp: set it back to DEFAULT")
	case id != done:
		const text = "the function removed its event's row from geminihook_deliveries"
		return errors.New(text)
	}
	return nil
}

// close rolls back although the context may have ended: the lock should not wait
// for the server to notice a closed connection.
func (t *mysqlTransaction) close(ctx context.Context) {
	ended := t.committed || execLate(ctx, t.connection, "ROLLBACK")
	if !ended || !execLate(ctx, t.connection, fmt.Sprintf(t.sql.end, t.lock)) {
		discard(t.connection)
	}
	_ = t.connection.Close()
	if t.committed {
		t.engine.purgeSome(ctx)
	}
}

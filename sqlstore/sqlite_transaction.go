package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	// sqliteLock changes nothing. But it is a write, so SQLite makes the connection
	// the writer, as BEGIN IMMEDIATE would, which database/sql cannot send. It
	// returns what sqliteState does.
	sqliteLock = "UPDATE geminihook_deliveries SET state = state WHERE" + sqliteNotFree +
		" RETURNING state, lease"

	// ?1 key, ?2 expiry.
	sqliteMark = `
INSERT INTO geminihook_deliveries (key, state, attempt, lease, expires) VALUES (?1, 2, 1, 0, ?2)
ON CONFLICT (key) DO UPDATE
SET state = 2, token = NULL, attempt = attempt + 1, expires = excluded.expires`
)

// sqliteTransaction is what one call of Transact holds.
type sqliteTransaction struct {
	engine  *sqlite
	key     string
	keep    time.Duration
	entered bool // it is its turn to write

	lock, mark *sql.Stmt

	connection *sql.Conn
	tx         *sql.Tx
	cancelTx   context.CancelFunc // ends the context with which tx was begun
	committed  bool
}

func (e *sqlite) begin(
	ctx context.Context, key string, keep time.Duration,
) (transaction, geminihook.State, error) {
	c, err := e.look(ctx, key, noToken)
	switch {
	case err != nil:
		return nil, 0, err
	case c.State != 0:
		return nil, c.State, nil
	case !e.start(key):
		return nil, geminihook.InProgress, nil
	}
	t := &sqliteTransaction{engine: e, key: key, keep: keep}
	state, err := t.begin(ctx)
	if err != nil || state != geminihook.Acquired {
		t.close(ctx)
	}
	return t, state, err
}

// start records that the key runs, unless it does already.
func (e *sqlite) start(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.running[key]; ok {
		return false
	}
	e.running[key] = struct{}{}
	return true
}

func (e *sqlite) stop(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, key)
}

func (t *sqliteTransaction) begin(ctx context.Context) (geminihook.State, error) {
	err := t.prepare(ctx)
	if err != nil {
		return 0, err
	}
	if t.connection, err = t.engine.queue.enterTransaction(ctx); err != nil {
		return 0, err
	}
	t.entered = true
	if t.connection == nil {
		if t.connection, err = t.engine.db.Conn(ctx); err != nil {
			return 0, err
		}
	}
	if err := t.beginTx(ctx); err != nil {
		return 0, err
	}
	c, err := sqliteLook(ctx, t.tx.StmtContext(ctx, t.lock), t.key, noToken)
	if err != nil {
		return 0, fmt.Errorf("waited for the writers of other processes: %w", err)
	}
	if c.State != 0 { // another process was faster
		return c.State, nil
	}
	if _, err := t.tx.ExecContext(ctx, "SAVEPOINT "+savepoint); err != nil {
		return 0, err
	}
	return geminihook.Acquired, nil
}

// prepare prepares the statements. It is called before the transaction has a
// connection of the pool, because preparing takes one, too.
func (t *sqliteTransaction) prepare(ctx context.Context) (err error) {
	if t.lock, err = t.engine.prepared.get(ctx, sqliteLock); err != nil {
		return err
	}
	t.mark, err = t.engine.prepared.get(ctx, sqliteMark)
	return err
}

// beginTx begins the transaction. Its context ends together with ctx only until the
// transaction has begun. Later, database/sql would roll back when ctx ends, even in the
// middle of commit.
func (t *sqliteTransaction) beginTx(ctx context.Context) error {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	t.cancelTx = cancel
	tx, err := t.connection.BeginTx(lasting, nil)
	stop()
	t.tx = tx
	return err
}

func (t *sqliteTransaction) conn() *sql.Conn { return t.connection }

// commit ignores the end of the context: committing takes milliseconds, and to give
// up in the middle would leave the outcome unknown.
func (t *sqliteTransaction) commit(ctx context.Context, undo bool) error {
	ctx = context.WithoutCancel(ctx)
	if undo {
		if err := t.execOnSavepoint(ctx, "ROLLBACK TO "+savepoint); err != nil {
			return err
		}
	}
	if err := t.execOnSavepoint(ctx, "RELEASE "+savepoint); err != nil {
		return err
	}
	mark := t.tx.StmtContext(ctx, t.mark)
	if _, err := mark.ExecContext(ctx, []byte(t.key), after(sqliteNow(), t.keep)); err != nil {
		return err
	}
	if err := t.tx.Commit(); err != nil {
		return err
	}
	t.tx, t.committed = nil, true
	return nil
}

// execOnSavepoint executes a statement that names the savepoint, and therefore fails
// if the function has ended the transaction.
func (t *sqliteTransaction) execOnSavepoint(ctx context.Context, query string) error {
	_, err := t.tx.ExecContext(ctx, query)
	if err != nil {
		return &functionError{text: endedText, err: err}
	}
	return nil
}

func (t *sqliteTransaction) close(ctx context.Context) {
	if t.tx != nil && t.tx.Rollback() != nil {
		discard(t.connection)
	}
	if t.cancelTx != nil {
		t.cancelTx()
	}
	if t.connection != nil && !t.mayHandOver() {
		_ = t.connection.Close()
		t.connection = nil
	}
	if t.committed {
		t.engine.purgeSome(ctx)
	}
	if t.entered {
		t.engine.queue.leave(t.connection)
	}
	t.engine.stop(t.key)
}

// mayHandOver reports whether the next transaction can have the connection, rather than
// whoever may be waiting for one of the pool.
func (t *sqliteTransaction) mayHandOver() bool {
	pool := t.engine.db.Stats()
	exhausted := pool.MaxOpenConnections > 0 && pool.InUse >= pool.MaxOpenConnections
	return t.committed && !exhausted
}

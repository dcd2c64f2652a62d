package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
)

// session is a connection of the pool on which the store begins and ends its
// transaction with its own statements. The function gets a [sql.Tx] on the
// same connection, from a database handle that exists for this run alone and
// whose Commit and Rollback never reach SQLite.
//
// The function cannot have the Tx of an ordinary BeginTx: its Commit would
// commit the event before the outcome is known, and the deferred Rollback that
// is customary in Go would undo an event that was handled.
type session struct {
	db   *sql.DB
	conn *sql.Conn
	open bool // a transaction has begun and has not ended
}

// openSession takes what [sql.Conn.Raw] gives. The session must be closed
// before Raw returns.
func openSession(ctx context.Context, raw any) (*session, error) {
	conn, ok := raw.(driver.Conn)
	if !ok {
		return nil, fmt.Errorf("%T is not a connection of a database/sql driver", raw)
	}
	db := sql.OpenDB(connector{conn})
	db.SetMaxOpenConns(1)
	c, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &session{db: db, conn: c}, nil
}

func (s *session) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.conn.ExecContext(ctx, query, args...)
	return err
}

// begin waits for the writers of other processes as long as the busy timeout
// says, and excludes them until the transaction ends.
func (s *session) begin(ctx context.Context) error {
	s.open = true // it may have begun even if the context has ended
	err := s.exec(ctx, "BEGIN IMMEDIATE")
	if err != nil && ctx.Err() == nil {
		s.open = false
	}
	return err
}

func (s *session) commit(ctx context.Context) error {
	err := s.exec(ctx, "COMMIT")
	if err == nil {
		s.open = false
	}
	return err
}

// call runs the function with a Tx on the open transaction, and returns the
// function's error apart from the store's. Ending the Tx closes the rows and
// statements that the function left open.
func (s *session) call(ctx context.Context, fn func(context.Context) error) (own, err error) {
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // ends the Tx, not the transaction
	return fn(context.WithValue(ctx, txKey{}, tx)), nil
}

// close rolls back what was not committed. It returns driver.ErrBadConn, which
// makes Raw discard the connection, if the transaction may still be open.
func (s *session) close(ctx context.Context) error {
	var result error
	if s.open && s.exec(context.WithoutCancel(ctx), "ROLLBACK") != nil {
		result = driver.ErrBadConn
	}
	_ = s.conn.Close()
	_ = s.db.Close()
	return result
}

// connector gives out the one connection that it has.
type connector struct{ conn driver.Conn }

func (c connector) Connect(context.Context) (driver.Conn, error) { return borrowed{c.conn}, nil }
func (c connector) Driver() driver.Driver                        { return c }

func (c connector) Open(string) (driver.Conn, error) { return borrowed{c.conn}, nil }

// borrowed is a driver's connection that stays open and in its transaction
// whatever the database handle above it does. The optional interfaces that it
// implements are passed on, or skipped as if the driver did not have them.
type borrowed struct{ driver.Conn }

func (borrowed) Close() error                       { return nil }
func (borrowed) ResetSession(context.Context) error { return nil }
func (borrowed) IsValid() bool                      { return true }
func (borrowed) Begin() (driver.Tx, error)          { return keptOpen{}, nil }

func (borrowed) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return keptOpen{}, nil
}

func (b borrowed) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if p, ok := b.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	return b.Prepare(query)
}

func (b borrowed) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := b.Conn.(driver.ExecerContext); ok {
		return e.ExecContext(ctx, query, args)
	}
	return nil, driver.ErrSkip
}

func (b borrowed) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := b.Conn.(driver.QueryerContext); ok {
		return q.QueryContext(ctx, query, args)
	}
	return nil, driver.ErrSkip
}

func (b borrowed) CheckNamedValue(v *driver.NamedValue) error {
	if c, ok := b.Conn.(driver.NamedValueChecker); ok {
		return c.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// keptOpen is the end of a transaction that somebody else ends.
type keptOpen struct{}

func (keptOpen) Commit() error   { return errKeptOpen }
func (keptOpen) Rollback() error { return errKeptOpen }

var errKeptOpen = fmt.Errorf("sqlitestore: the store ends this transaction: return nil to commit it, or an error to roll it back: %w",
	sql.ErrTxDone)

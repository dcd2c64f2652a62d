package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"
)

// call runs the function with a [sql.Tx] on the connection, on which the store has
// begun a transaction. It returns the function's error and the store's apart. The Tx
// belongs to a database handle that exists for this run alone, so its Commit and
// Rollback never reach the database.
//
// The function cannot have the Tx of an ordinary BeginTx: its Commit would commit
// before the outcome is known, and the deferred Rollback that is customary in Go
// would undo an event that was handled.
func call(
	ctx context.Context, conn *sql.Conn, fn func(context.Context) error,
) (fnErr, err error) {
	lent, giveBack, err := borrow(conn)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	unused := make(chan struct{})
	lent.unused = sync.OnceFunc(func() { close(unused) })
	db := sql.OpenDB(connector{lent})
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	// This ends the Tx, with the rows and statements that the function left open,
	// but not the transaction. If the context has ended, database/sql may still be
	// about to do so in another goroutine.
	defer func() {
		_ = tx.Rollback()
		_ = db.Close()
		<-unused
	}()
	return fn(context.WithValue(ctx, txKey{}, tx)), nil
}

// borrow returns the driver's connection until it is given back. database/sql lends
// it for the duration of a callback, which waits in another goroutine, so that a
// function that panics does so in its caller's goroutine and outside of
// database/sql, which would close the connection.
func borrow(conn *sql.Conn) (lent borrowed, giveBack func(), err error) {
	raw, back, ended := make(chan any), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- conn.Raw(func(c any) error {
			raw <- c
			<-back
			return nil
		})
	}()
	giveBack = func() {
		close(back)
		<-ended
	}
	select {
	case err := <-ended:
		return borrowed{}, nil, err
	case c := <-raw:
		conn, ok := c.(driver.Conn)
		if !ok {
			giveBack()
			return borrowed{}, nil, fmt.Errorf("%T is not a connection of a database/sql driver", c)
		}
		return borrowed{Conn: conn}, giveBack, nil
	}
}

// connector connects to the one connection that it has.
type connector struct{ conn borrowed }

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.conn, nil }
func (c connector) Driver() driver.Driver                        { return c }
func (c connector) Open(string) (driver.Conn, error)             { return c.conn, nil }

// borrowed is a driver's connection that stays open and in its transaction
// whatever the database handle above it does. The optional interfaces that it
// implements are passed on, or skipped as if the driver did not have them.
type borrowed struct {
	driver.Conn
	unused func() // called when the handle no longer uses the connection
}

func (b borrowed) Close() error {
	b.unused()
	return nil
}

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

func (b borrowed) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Result, error) {
	if e, ok := b.Conn.(driver.ExecerContext); ok {
		return e.ExecContext(ctx, query, args)
	}
	return nil, driver.ErrSkip
}

func (b borrowed) QueryContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Rows, error) {
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

// keptOpen is a transaction whose Commit and Rollback do nothing, because the store
// ends it.
type keptOpen struct{}

func (keptOpen) Commit() error   { return errKeptOpen }
func (keptOpen) Rollback() error { return errKeptOpen }

var errKeptOpen = fmt.Errorf("sqlstore: the store ends this transaction: return nil to commit it, or an error to roll it back: %w",
	sql.ErrTxDone)

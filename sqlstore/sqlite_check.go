package sqlstore

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"time"
)

//go:embed schema/sqlite.sql
var sqliteSchema string

func (e *sqlite) migrate(ctx context.Context) error {
	if err := e.checkSettings(ctx); err != nil {
		return err
	}
	leave, err := e.queue.enterFirst(ctx)
	if err != nil {
		return err
	}
	defer leave()
	_, err = e.db.ExecContext(ctx, sqliteSchema)
	return err
}

func (e *sqlite) check(ctx context.Context) error {
	if err := e.checkSettings(ctx); err != nil {
		return err
	}
	stmt, err := e.prepared.get(ctx, sqliteClaim)
	if err != nil {
		return err
	}
	leave, err := e.queue.enterFirst(ctx)
	if err != nil {
		return err
	}
	defer leave()
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	now := sqliteNow()
	minute := after(now, time.Minute)
	claim := tx.StmtContext(ctx, stmt)
	row := claim.QueryRowContext(ctx, randomKey(), []byte("check"), minute, minute, now)
	return row.Scan(new(int))
}

// checkSettings reads the settings of two connections, because a pragma that was
// executed on the pool holds for one connection only.
func (e *sqlite) checkSettings(ctx context.Context) error {
	connections := 2
	if e.db.Stats().MaxOpenConnections == 1 {
		connections = 1
	}
	for range connections {
		conn, err := e.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // held, so that the next one is another
		if err := checkConnection(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

func checkConnection(ctx context.Context, conn *sql.Conn) error {
	var file, mode string
	var timeout int
	const fileOf = "SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'"
	err := errors.Join(
		conn.QueryRowContext(ctx, fileOf).Scan(&file),
		conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode),
		conn.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&timeout),
	)
	switch {
	case err != nil:
		return err
	case file == "":
		return errors.New("the database is in memory or temporary, so each connection of the pool would have its own, " +
			"and all of it would be forgotten: open a file, in tests one below t.TempDir()")
	case mode != "wal":
		return fmt.Errorf("the database does not use the write-ahead log (its journal mode is %q), so readers and the writer "+
			"would block each other: open it with _pragma=journal_mode(WAL) for modernc.org/sqlite and ncruces/go-sqlite3, "+
			"or _journal_mode=WAL for mattn/go-sqlite3", mode)
	case timeout <= 0:
		return errors.New("a connection has no busy timeout, so it would fail whenever another one writes: set it in the data source " +
			"name, which holds for each connection, with _pragma=busy_timeout(5000) for modernc.org/sqlite and " +
			"ncruces/go-sqlite3, or _busy_timeout=5000 for mattn/go-sqlite3")
	}
	return nil
}

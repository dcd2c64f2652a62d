package sqlitestore

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
)

//go:embed schema.sql
var schema string

// Errors of Check and Migrate. The text of each says what to change.
var (
	// ErrInMemory means that the database is not a file.
	ErrInMemory = errors.New("the database is in memory or temporary, so each connection of the pool would have its own " +
		"and all of it would be forgotten: open a file, in tests one below t.TempDir()")

	// ErrJournalMode means that the database does not use the write-ahead log.
	ErrJournalMode = errors.New("the database does not use the write-ahead log, so readers and the writer would block each other: " +
		"open it with journal_mode=WAL (modernc.org/sqlite: _pragma=journal_mode(WAL); mattn/go-sqlite3: _journal_mode=WAL)")

	// ErrBusyTimeout means that a connection has no busy timeout.
	ErrBusyTimeout = errors.New("a connection has no busy timeout, so it would fail whenever another one writes: set it in the data " +
		"source name, which holds for each connection (modernc.org/sqlite: _pragma=busy_timeout(5000); mattn/go-sqlite3: _busy_timeout=5000)")
)

// Migrate calls Check, and creates the table and its index unless they exist.
// It may run at every start, in several processes at once. If you use your own
// migration tool, apply schema.sql and call [Store.Check].
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.Check(ctx); err != nil {
		return err
	}
	leave, err := s.queue.enterFirst(ctx)
	if err != nil {
		return failure(err)
	}
	defer leave()
	_, err = s.exec(ctx, schema)
	return failure(err)
}

// Check reads the settings of the database and returns [ErrInMemory],
// [ErrJournalMode], [ErrBusyTimeout], or nil if the store can rely on it. It
// reads the settings of two connections, because a pragma that was executed on
// the pool holds for one connection only.
func (s *Store) Check(ctx context.Context) error {
	connections := 2
	if s.db.Stats().MaxOpenConnections == 1 {
		connections = 1
	}
	for range connections {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return failure(err)
		}
		defer func() { _ = conn.Close() }() // held, so that the next one is another
		if err := check(ctx, conn); err != nil {
			return failure(err)
		}
	}
	return nil
}

func check(ctx context.Context, conn *sql.Conn) error {
	var file, mode string
	var timeout int
	err := errors.Join(
		conn.QueryRowContext(ctx, "SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'").Scan(&file),
		conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode),
		conn.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&timeout),
	)
	switch {
	case err != nil:
		return err
	case file == "":
		return ErrInMemory
	case mode != "wal":
		return fmt.Errorf("%w (it is %q)", ErrJournalMode, mode)
	case timeout <= 0:
		return ErrBusyTimeout
	}
	return nil
}

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"time"

	"github.com/geminihook/geminihook/sqlstore"
	_ "modernc.org/sqlite" // the driver
)

// startFolder makes a folder for SQLite's files.
func startFolder() (*server, error) {
	folder, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	return &server{folder: folder, close: func() { _ = os.RemoveAll(folder) }}, nil
}

const (
	sqliteTables = `
CREATE TABLE IF NOT EXISTS bare (
	key BLOB PRIMARY KEY NOT NULL, state INTEGER, token BLOB, attempt INTEGER, lease INTEGER, expires INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bare_expires ON bare (expires);
CREATE TABLE IF NOT EXISTS effects (id TEXT)`

	// ?1 key, ?2 token, ?3 end of the lease, ?4 expiry, ?5 now.
	sqliteBareClaim = `
INSERT INTO bare (key, state, token, attempt, lease, expires) VALUES (?1, 1, ?2, 1, ?3, ?4)
ON CONFLICT (key) DO UPDATE
SET token = excluded.token, attempt = attempt + 1, lease = excluded.lease, expires = excluded.expires
WHERE state = 1 AND lease < ?5
RETURNING attempt`

	sqliteBareComplete = "UPDATE bare SET state = 2 WHERE key = ?1 AND token = ?2 AND state = 1"

	// ?1 key, ?2 expiry.
	sqliteBareMark = `
INSERT INTO bare (key, state, attempt, lease, expires) VALUES (?1, 2, 1, 0, ?2) ON CONFLICT DO NOTHING`
)

func openSQLite(s *server, database string, workers int, _ dialFunc) (*subject, error) {
	file := filepath.Join(s.folder, database+".db")
	name := "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	limited(db, workers+1)
	ctx := context.Background()
	store := sqlstore.New(db, sqlstore.SQLite)
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, sqliteTables); err != nil {
		return nil, err
	}
	// One connection, because SQLite has one writer: with more, the bare engine
	// would spend its time in the busy timeout.
	bare, err := sql.Open("sqlite", name+"&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	limited(bare, 1)
	subject := &subject{
		store:  store,
		effect: sqlEffect("INSERT INTO effects VALUES (?)"),
		fill:   fillSQLite(db),
		stored: sqliteStored(db),
		logged: sqliteLogged(file + "-wal"),
		close: func() {
			_ = db.Close()
			_ = bare.Close()
		},
	}
	if subject.bareLease, err = sqliteLease(ctx, bare); err != nil {
		return nil, err
	}
	subject.bareTransaction, err = sqliteTransaction(ctx, bare)
	return subject, err
}

func sqliteLease(ctx context.Context, db *sql.DB) (func(context.Context, string) error, error) {
	claim, err := db.PrepareContext(ctx, sqliteBareClaim)
	if err != nil {
		return nil, err
	}
	complete, err := db.PrepareContext(ctx, sqliteBareComplete)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, key string) error {
		token := []byte(rand.Text())
		now := time.Now()
		leaseEnd, expires := now.Add(lease).UnixMicro(), now.Add(keep).UnixMicro()
		row := claim.QueryRowContext(ctx, []byte(key), token, leaseEnd, expires, now.UnixMicro())
		if err := row.Scan(new(int)); err != nil {
			return err
		}
		_, err := complete.ExecContext(ctx, []byte(key), token)
		return err
	}, nil
}

// sqliteTransaction begins with BEGIN IMMEDIATE, which is SQLite's lock.
func sqliteTransaction(
	ctx context.Context, db *sql.DB,
) (func(context.Context, string) error, error) {
	mark, err := db.PrepareContext(ctx, sqliteBareMark)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, key string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, "SAVEPOINT bare"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", key); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "RELEASE bare"); err != nil {
			return err
		}
		expires := time.Now().Add(keep).UnixMicro()
		if _, err := tx.StmtContext(ctx, mark).ExecContext(ctx, []byte(key), expires); err != nil {
			return err
		}
		return tx.Commit()
	}, nil
}

func fillSQLite(db *sql.DB) func(context.Context, int) error {
	const fill = `
		WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c WHERE i < ?1 - 1)
		INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT CAST(lower(hex(randomblob(20))) AS BLOB) AS id, 2, randomblob(26), 1, 0, ?2
		FROM c ORDER BY id`
	return func(ctx context.Context, ids int) error {
		expires := time.Now().Add(time.Hour).UnixMicro()
		if _, err := db.ExecContext(ctx, fill, ids, expires); err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
		return err
	}
}

// sqliteStored returns the size of the pages of the table and its index.
func sqliteStored(db *sql.DB) func(context.Context) (float64, error) {
	return func(ctx context.Context) (size float64, err error) {
		const query = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'geminihook_deliveries%'"
		return size, db.QueryRowContext(ctx, query).Scan(&size)
	}
}

// sqliteLogged returns the size of the write-ahead log, which grows until its 1,000th
// page.
func sqliteLogged(file string) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		return float64(info.Size()), nil
	}
}

package sqlstore

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"time"
)

//go:embed schema/postgres.sql
var postgresSchema string

// postgresVersion is the comment on the table, as schema/postgres.sql sets it.
const postgresVersion = "geminihook pgstore, schema version 1"

func (e *postgres) migrate(ctx context.Context) error {
	if exists, err := e.version(ctx); exists || err != nil {
		return err
	}
	// Statements that are sent together are one transaction. If another instance
	// creates the table meanwhile, these wait for it and fail.
	_, err := e.db.ExecContext(ctx, postgresSchema)
	if sqlState(err) != "" {
		if exists, versionErr := e.version(ctx); exists {
			return versionErr
		}
	}
	return err
}

// version reports whether the table exists. A version other than ours is an error.
func (e *postgres) version(ctx context.Context) (exists bool, err error) {
	var comment string
	err = e.db.QueryRowContext(ctx, `
SELECT to_regclass('geminihook_deliveries') IS NOT NULL,
	coalesce(obj_description(to_regclass('geminihook_deliveries')::oid, 'pg_class'), '')`,
	).Scan(&exists, &comment)
	if err == nil && exists && comment != postgresVersion {
		err = fmt.Errorf("the table geminihook_deliveries exists, but its comment is %q and not %q: if it is from before v0.1.0, "+
			"drop it; if its comment was lost, restore the comment; if its version is higher, upgrade the program",
			comment, postgresVersion)
	}
	return exists, err
}

func (e *postgres) check(ctx context.Context) error {
	s, err := e.statements(ctx)
	if err != nil {
		return err
	}
	tx, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	key, token, minute := randomKey(), []byte("check"), seconds(time.Minute)
	claim := tx.QueryRowContext(ctx, s.claim, key, minute, token, minute, lockOf(string(key)))
	if err := claim.Scan(new(int)); err != nil {
		return err
	}
	complete := tx.QueryRowContext(ctx, s.complete, key, minute, token)
	if err := complete.Scan(new(int)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, s.purge, 0)
	return err
}

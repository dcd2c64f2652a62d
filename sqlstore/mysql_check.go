package sqlstore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"
)

//go:embed schema/mysql.sql
var mysqlSchema string

func (e *mysql) migrate(ctx context.Context) error {
	_, err := e.db.ExecContext(ctx, mysqlSchema)
	return err
}

func (e *mysql) check(ctx context.Context) error {
	s, err := e.statements(ctx)
	if err != nil {
		return err
	}
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	key := string(randomKey())
	for _, statement := range []struct {
		query string
		args  []any
	}{
		{s.claim, s.claimArgs(key, "check", time.Minute, time.Minute)},
		{s.complete, s.completeArgs(key, "check", time.Minute)},
		{fmt.Sprintf(s.expired, 0), nil},
		{fmt.Sprintf(s.purge, "x''"), nil},
	} {
		if _, err := tx.ExecContext(ctx, statement.query, statement.args...); err != nil {
			return err
		}
	}
	var autocommit bool
	if err := tx.QueryRowContext(ctx, "SELECT @@SESSION.autocommit").Scan(&autocommit); err != nil {
		return err
	}
	if !autocommit {
		return errors.New("autocommit is off, so no claim would be committed: turn it on in the data source name")
	}
	return nil
}

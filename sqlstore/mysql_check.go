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
	key, minute := string(randomKey()), micros(time.Minute)
	for _, query := range []string{
		fmt.Sprintf(s.claim, key, "check", minute, minute, s.lock(key)),
		fmt.Sprintf(s.complete, key, "check", minute),
		fmt.Sprintf(s.expired, 0),
		fmt.Sprintf(s.purge, "x''"),
	} {
		if _, err := tx.ExecContext(ctx, query); err != nil {
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

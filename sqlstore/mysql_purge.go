package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

func (e *mysql) purge(ctx context.Context, limit int) (int, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return 0, err
	}
	return retryDeadlock(func() (int, error) { return e.purgeOnce(ctx, s, limit) })
}

func (e *mysql) purgeOnce(ctx context.Context, s *mysqlStatements, limit int) (int, error) {
	tx, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	keys, err := expiredKeys(ctx, tx, fmt.Sprintf(s.expired, limit))
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	purge := fmt.Sprintf(s.purge, strings.Join(keys, ", "))
	if _, err := tx.ExecContext(ctx, purge); err != nil {
		return 0, err
	}
	return len(keys), tx.Commit()
}

func expiredKeys(ctx context.Context, tx *sql.Tx, query string) (keys []string, err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, fmt.Sprintf("x'%x'", key))
	}
	return keys, rows.Err()
}

// purgeSome removes some expired rows, which takes about ten milliseconds.
func (e *mysql) purgeSome(ctx context.Context) {
	if !e.purging.due() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _ = e.purge(ctx, 1000)
}

package main

import (
	"context"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/jmoiron/sqlx"
)

// sqlxResult is a row that is written with sqlx.
type sqlxResult struct {
	WebhookID string `db:"webhook_id"`
	Job       string `db:"job"`
}

const (
	sqlxSchema = "CREATE TABLE IF NOT EXISTS sqlx_results (webhook_id VARCHAR(256) NOT NULL, job TEXT NOT NULL)"
	sqlxInsert = "INSERT INTO sqlx_results (webhook_id, job) VALUES (:webhook_id, :job)"
)

func openSQLX(ctx context.Context, d *database) (function, error) {
	db := sqlx.NewDb(d.db, d.engine)
	if _, err := db.ExecContext(ctx, sqlxSchema); err != nil {
		return nil, err
	}
	return func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		row := sqlxResult{WebhookID: ev.ID, Job: ev.JobID()}
		query, args, err := db.BindNamed(sqlxInsert, row)
		if err != nil {
			return err
		}
		x := sqlx.Tx{Tx: tx, Mapper: db.Mapper}
		_, err = x.ExecContext(ctx, query, args...)
		return err
	}, nil
}

package main

import (
	"context"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
)

// bunResult is a row that bun writes.
type bunResult struct {
	bun.BaseModel `bun:"table:bun_results"`

	ID        int64  `bun:",pk,autoincrement"`
	WebhookID string `bun:"type:varchar(256)"`
	Job       string `bun:"type:text"`
}

func openBun(ctx context.Context, d *database) (function, error) {
	db := bun.NewDB(d.db, bunDialect(d))
	_, err := db.NewCreateTable().Model((*bunResult)(nil)).IfNotExists().Exec(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		row := &bunResult{WebhookID: ev.ID, Job: ev.JobID()}
		_, err = db.NewInsert().Conn(tx).Model(row).Exec(ctx)
		return err
	}, nil
}

func bunDialect(d *database) schema.Dialect {
	switch d.engine {
	case enginePostgres:
		return pgdialect.New()
	case engineMySQL:
		return mysqldialect.New()
	default:
		return sqlitedialect.New()
	}
}

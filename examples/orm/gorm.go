package main

import (
	"context"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	gormmysql "gorm.io/driver/mysql"
	gormpostgres "gorm.io/driver/postgres"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// gormResult is a row that GORM writes.
type gormResult struct {
	ID        int64
	WebhookID string `gorm:"size:256"`
	Job       string
}

func openGORM(ctx context.Context, d *database) (function, error) {
	db, err := gorm.Open(gormDialector(d), &gorm.Config{})
	if err != nil {
		return nil, err
	}
	if err := db.WithContext(ctx).AutoMigrate(&gormResult{}); err != nil {
		return nil, err
	}
	return func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		orm := db.WithContext(ctx)
		orm.Statement.ConnPool = tx
		return orm.Create(&gormResult{WebhookID: ev.ID, Job: ev.JobID()}).Error
	}, nil
}

func gormDialector(d *database) gorm.Dialector {
	switch d.engine {
	case enginePostgres:
		return gormpostgres.New(gormpostgres.Config{Conn: d.db})
	case engineMySQL:
		return gormmysql.New(gormmysql.Config{Conn: d.db})
	default:
		return gormsqlite.New(gormsqlite.Config{Conn: d.db})
	}
}

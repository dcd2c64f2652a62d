package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
)

// testSQLX tests that a function reads what it has written.
func testSQLX(t *testing.T, d *database) {
	fn := openLibrary(t, d, openSQLX)
	db := sqlx.NewDb(d.db, d.engine)
	var row sqlxResult
	delivery := newDelivery()
	receiver := newReceiver(t, d, func(ctx context.Context, ev *geminihook.Event) error {
		if err := fn(ctx, ev); err != nil {
			return err
		}
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		x := sqlx.Tx{Tx: tx, Mapper: db.Mapper}
		query := db.Rebind("SELECT webhook_id, job FROM sqlx_results WHERE webhook_id = ?")
		return x.GetContext(ctx, &row, query, ev.ID)
	})
	assert.Equal(t, http.StatusOK, deliver(receiver, delivery))
	assert.Equal(t, delivery.ID(), row.WebhookID)
}

package main

import (
	"context"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/orm/ent"
	"github.com/geminihook/geminihook/sqlstore"
)

func openEnt(ctx context.Context, d *database) (function, error) {
	client := ent.NewClient(ent.Driver(entsql.OpenDB(d.engine, d.db)))
	if err := client.Schema.Create(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context, ev *geminihook.Event) error {
		client, err := entClient(ctx, d.engine)
		if err != nil {
			return err
		}
		return client.Result.Create().SetWebhookID(ev.ID).SetJob(ev.JobID()).Exec(ctx)
	}, nil
}

// entClient returns a client in the transaction of the store. The name is
// dialect.SQLite, dialect.Postgres or dialect.MySQL.
func entClient(ctx context.Context, name string) (*ent.Client, error) {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return nil, err
	}
	driver := entsql.NewDriver(name, entsql.Conn{ExecQuerier: tx})
	return ent.NewClient(ent.Driver(entTx{driver})), nil
}

// entTx is a driver in a transaction. If ent begins one, as it does to update a row or
// to write edges, that is the same transaction, which ent does not end.
type entTx struct{ dialect.Driver }

func (d entTx) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d), nil }

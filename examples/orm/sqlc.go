package main

import (
	"context"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/orm/sqlc"
	"github.com/geminihook/geminihook/examples/orm/sqlc/postgres"
	"github.com/geminihook/geminihook/examples/orm/sqlc/sqlite"
	"github.com/geminihook/geminihook/sqlstore"
)

func openSQLC(ctx context.Context, d *database) (function, error) {
	if _, err := d.db.ExecContext(ctx, sqlc.Schema); err != nil {
		return nil, err
	}
	if d.engine == enginePostgres {
		return postgresSQLC(postgres.New(d.db)), nil
	}
	queries := sqlite.New(d.db) // the same statements as for MySQL
	return func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		return queries.WithTx(tx).CreateResult(ctx, ev.ID, ev.JobID())
	}, nil
}

// postgresSQLC is the same with the code for PostgreSQL, whose parameters are $1 and
// $2. A program with one database needs only one of the two.
func postgresSQLC(queries *postgres.Queries) function {
	return func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		return queries.WithTx(tx).CreateResult(ctx, ev.ID, ev.JobID())
	}
}

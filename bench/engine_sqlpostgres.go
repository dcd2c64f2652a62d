package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// openSQLPostgres opens sqlstore in a database that pgstore could use as well.
func openSQLPostgres(
	s *server, database string, workers int, dial dialFunc,
) (*subject, error) {
	pool, err := connectPostgres(s, database, 1, dial)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(s.URL)
	if err != nil {
		return nil, err
	}
	config.Database = database
	config.DialFunc = dial
	db := limited(stdlib.OpenDB(*config), workers+1)
	return &subject{
		store:           sqlstore.New(db, sqlstore.PostgreSQL),
		effect:          sqlEffect(postgresEffect),
		bareLease:       stdlibLease(db),
		bareTransaction: stdlibTransaction(db),
		fill:            fillPostgres(pool),
		stored:          postgresStored(pool),
		logged:          postgresLogged(pool),
		close: func() {
			_ = db.Close()
			pool.Close()
		},
	}, nil
}

// limited sets the size of a pool. Without SetMaxIdleConns, most calls of many
// workers would connect anew.
func limited(db *sql.DB, conns int) *sql.DB {
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// sqlEffect is what the function of a transaction does.
func sqlEffect(insert string) func(context.Context, string) error {
	return func(ctx context.Context, key string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, insert, key)
		return err
	}
}

// stdlibLease does not prepare the statements, because pgx does so by itself.
func stdlibLease(db *sql.DB) func(context.Context, string) error {
	return func(ctx context.Context, key string) error {
		token := []byte(rand.Text())
		var attempt int
		row := db.QueryRowContext(ctx, postgresBareClaim, []byte(key), token, leaseFor, keepFor)
		if err := row.Scan(&attempt); err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, postgresBareComplete, []byte(key), token)
		return err
	}
}

// stdlibTransaction takes three round trips, because several statements without
// parameters are sent at once.
func stdlibTransaction(db *sql.DB) func(context.Context, string) error {
	const (
		begin = `BEGIN; SELECT pg_try_advisory_xact_lock(hashtextextended('%s', 0)); SAVEPOINT bare`
		end   = `RELEASE SAVEPOINT bare;
INSERT INTO bare (key, state, attempt, lease, expires)
VALUES ('%s', 2, 1, now(), now() + %d * interval '1 s')
ON CONFLICT DO NOTHING; COMMIT`
	)
	return func(ctx context.Context, key string) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.ExecContext(ctx, fmt.Sprintf(begin, key)); err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, postgresEffect, key); err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, fmt.Sprintf(end, key, keepFor))
		return err
	}
}

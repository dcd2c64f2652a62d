package main

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func startPostgres() (*server, error) {
	s, err := testserver.StartPostgres("-c", "fsync=on", "-c", "max_connections=200")
	if err != nil {
		return nil, err
	}
	return &server{Server: s, close: func() { _ = s.Close() }}, nil
}

// The statements that a program would write without the store.
const (
	postgresTables = `
CREATE TABLE bare (LIKE geminihook_deliveries INCLUDING ALL);
CREATE TABLE effects (id text)`

	postgresEffect = "INSERT INTO effects VALUES ($1)"

	// $1 key, $2 token, $3 lease, $4 keep, in seconds.
	postgresBareClaim = `
INSERT INTO bare AS d (key, state, token, attempt, lease, expires)
VALUES ($1, 1, $2, 1, now() + $3::bigint * interval '1 s', now() + $4::bigint * interval '1 s')
ON CONFLICT (key) DO UPDATE
SET token = excluded.token, attempt = d.attempt + 1, lease = excluded.lease, expires = excluded.expires
WHERE d.state = 1 AND d.lease < now()
RETURNING attempt`

	postgresBareComplete = "UPDATE bare SET state = 2 WHERE key = $1 AND token = $2 AND state = 1"

	// $1 key, $2 keep.
	postgresBareMark = `
INSERT INTO bare (key, state, attempt, lease, expires)
VALUES ($1, 2, 1, now(), now() + $2::bigint * interval '1 s')
ON CONFLICT DO NOTHING`
)

const (
	leaseFor = int64(lease / time.Second)
	keepFor  = int64(keep / time.Second)
)

func openPostgres(
	s *server, database string, workers int, dial dialFunc,
) (*subject, error) {
	pool, err := connectPostgres(s, database, workers, dial)
	if err != nil {
		return nil, err
	}
	return &subject{
		store:           pgstore.New(pool),
		effect:          pgxEffect,
		bareLease:       pgxLease(pool),
		bareTransaction: pgxTransaction(pool),
		fill:            fillPostgres(pool),
		stored:          postgresStored(pool),
		logged:          postgresLogged(pool),
		close:           pool.Close,
	}, nil
}

// connectPostgres connects to a database with the tables, which it creates unless it
// exists.
func connectPostgres(
	s *server, database string, conns int, dial dialFunc,
) (*pgxpool.Pool, error) {
	ctx := context.Background()
	exists := slices.Contains(s.databases, database)
	if !exists {
		s.databases = append(s.databases, database)
		conn, err := pgx.Connect(ctx, s.URL)
		if err != nil {
			return nil, err
		}
		_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
		_ = conn.Close(ctx)
		if err != nil {
			return nil, err
		}
	}
	config, err := pgxpool.ParseConfig(s.URL)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Database = database
	config.ConnConfig.DialFunc = dial
	config.MaxConns = int32(conns + 1)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil || exists {
		return pool, err
	}
	if err := pgstore.New(pool).Migrate(ctx); err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, postgresTables)
	return pool, err
}

func pgxEffect(ctx context.Context, key string) error {
	tx, err := pgstore.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, postgresEffect, key)
	return err
}

func pgxLease(pool *pgxpool.Pool) func(context.Context, string) error {
	return func(ctx context.Context, key string) error {
		token := []byte(rand.Text())
		var attempt int
		row := pool.QueryRow(ctx, postgresBareClaim, []byte(key), token, leaseFor, keepFor)
		if err := row.Scan(&attempt); err != nil {
			return err
		}
		_, err := pool.Exec(ctx, postgresBareComplete, []byte(key), token)
		return err
	}
}

func pgxTransaction(pool *pgxpool.Pool) func(context.Context, string) error {
	return func(ctx context.Context, key string) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		var begin, end pgx.Batch
		begin.Queue("BEGIN")
		begin.Queue("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", key)
		begin.Queue("SAVEPOINT bare")
		if err := conn.SendBatch(ctx, &begin).Close(); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, postgresEffect, key); err != nil {
			return err
		}
		end.Queue("RELEASE SAVEPOINT bare")
		end.Queue(postgresBareMark, []byte(key), keepFor)
		end.Queue("COMMIT")
		return conn.SendBatch(ctx, &end).Close()
	}
}

func fillPostgres(pool *pgxpool.Pool) func(context.Context, int) error {
	const fill = `
		INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT left(encode(sha256(i::text::bytea), 'hex'), 40)::bytea AS id, 2,
			left(md5(i::text), 26)::bytea, 1, now(), now() + interval '1 hour'
		FROM generate_series(1, $1::int) AS i ORDER BY id`
	return func(ctx context.Context, ids int) error {
		if _, err := pool.Exec(ctx, fill, ids); err != nil {
			return err
		}
		_, err := pool.Exec(ctx, "VACUUM ANALYZE geminihook_deliveries")
		return err
	}
}

func postgresStored(pool *pgxpool.Pool) func(context.Context) (float64, error) {
	return func(ctx context.Context) (size float64, err error) {
		const query = "SELECT pg_total_relation_size('geminihook_deliveries')::float8"
		return size, pool.QueryRow(ctx, query).Scan(&size)
	}
}

func postgresLogged(pool *pgxpool.Pool) func(context.Context) (float64, error) {
	return func(ctx context.Context) (size float64, err error) {
		const query = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8"
		return size, pool.QueryRow(ctx, query).Scan(&size)
	}
}

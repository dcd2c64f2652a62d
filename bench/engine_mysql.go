package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/go-sql-driver/mysql"
)

func startMySQL() (*server, error) {
	s, err := testserver.StartMySQL("--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M")
	if err != nil {
		return nil, err
	}
	return &server{Server: s, close: func() { _ = s.Close() }}, nil
}

const (
	mysqlNow = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"

	mysqlEffect = "INSERT INTO effects VALUES (?)"

	// Key, token, lease and keep in microseconds.
	mysqlBareClaim = `
INSERT INTO bare (event_key, state, token, attempt, lease, expires)
VALUES (?, 1, ?, 1, ` + mysqlNow + ` + ?, ` + mysqlNow + ` + ?)
ON DUPLICATE KEY UPDATE
	token = IF(state = 1 AND lease < ` + mysqlNow + `, VALUES(token), token),
	attempt = IF(token = VALUES(token), attempt + 1, attempt),
	lease = IF(token = VALUES(token), VALUES(lease), lease)`

	mysqlBareComplete = "UPDATE bare SET state = 2 WHERE event_key = ? AND token = ? AND state = 1"

	// Key, keep in microseconds.
	mysqlBareMark = `
INSERT IGNORE INTO bare (event_key, state, attempt, lease, expires)
VALUES (?, 2, 1, 0, ` + mysqlNow + ` + ?)`
)

func openMySQL(s *server, database string, workers int, dial dialFunc) (*subject, error) {
	db, err := connectMySQL(s, database, workers+1, dial)
	if err != nil {
		return nil, err
	}
	subject := &subject{
		store:           sqlstore.New(db, sqlstore.MySQL),
		effect:          sqlEffect(mysqlEffect),
		bareTransaction: mysqlTransaction(db),
		fill:            fillMySQL(db),
		stored:          mysqlStored(db),
		logged:          mysqlLogged(db),
		close:           func() { _ = db.Close() },
	}
	subject.bareLease, err = mysqlLease(context.Background(), db)
	return subject, err
}

// connectMySQL connects to a database with the tables, which it creates unless it
// exists.
func connectMySQL(s *server, database string, conns int, dial dialFunc) (*sql.DB, error) {
	ctx := context.Background()
	config, err := mysql.ParseDSN(s.URL)
	if err != nil {
		return nil, err
	}
	config.DialFunc = dial
	config.InterpolateParams = true // a round trip less for a statement with parameters
	exists := slices.Contains(s.databases, database)
	if !exists {
		s.databases = append(s.databases, database)
		if err := execMySQL(ctx, config, "CREATE DATABASE "+database); err != nil {
			return nil, err
		}
	}
	config.DBName = database
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := limited(sql.OpenDB(connector), conns)
	if exists {
		return db, nil
	}
	if err := sqlstore.New(db, sqlstore.MySQL).Migrate(ctx); err != nil {
		return nil, err
	}
	for _, table := range []string{
		"CREATE TABLE bare LIKE geminihook_deliveries", "CREATE TABLE effects (id VARCHAR(100))",
	} {
		if _, err := db.ExecContext(ctx, table); err != nil {
			return nil, err
		}
	}
	return db, nil
}

// execMySQL executes a statement on its own connection.
func execMySQL(ctx context.Context, config *mysql.Config, query string) error {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, query)
	return err
}

func mysqlLease(ctx context.Context, db *sql.DB) (func(context.Context, string) error, error) {
	claim, err := db.PrepareContext(ctx, mysqlBareClaim)
	if err != nil {
		return nil, err
	}
	complete, err := db.PrepareContext(ctx, mysqlBareComplete)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, key string) error {
		token := []byte(rand.Text())
		const leaseFor, keepFor = int64(lease / time.Microsecond), int64(keep / time.Microsecond)
		if _, err := claim.ExecContext(ctx, []byte(key), token, leaseFor, keepFor); err != nil {
			return err
		}
		_, err := complete.ExecContext(ctx, []byte(key), token)
		return err
	}, nil
}

func mysqlTransaction(db *sql.DB) func(context.Context, string) error {
	return func(ctx context.Context, key string) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		for _, s := range []struct {
			query string
			args  []any
		}{
			{"DO GET_LOCK(?, 0)", []any{key}},
			{"BEGIN", nil},
			{"SAVEPOINT bare", nil},
			{mysqlEffect, []any{key}},
			{"RELEASE SAVEPOINT bare", nil},
			{mysqlBareMark, []any{[]byte(key), keep.Microseconds()}},
			{"COMMIT", nil},
			{"DO RELEASE_LOCK(?)", []any{key}},
		} {
			if _, err := conn.ExecContext(ctx, s.query, s.args...); err != nil {
				return err
			}
		}
		return nil
	}
}

func fillMySQL(db *sql.DB) func(context.Context, int) error {
	const fill = `
		INSERT INTO geminihook_deliveries (event_key, state, token, attempt, lease, expires)
		SELECT SHA1(seq) AS id, 2, LEFT(MD5(seq), 26), 1, 0, ` + mysqlNow + ` + 3600000000
		FROM seq_1_to_%d ORDER BY id`
	return func(ctx context.Context, ids int) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf(fill, ids))
		return err
	}
}

// mysqlStored returns the size of the table and its index.
func mysqlStored(db *sql.DB) func(context.Context) (float64, error) {
	return func(ctx context.Context) (size float64, err error) {
		if _, err := db.ExecContext(ctx, "ANALYZE TABLE geminihook_deliveries"); err != nil {
			return 0, err
		}
		const query = `
			SELECT data_length + index_length FROM information_schema.tables
			WHERE table_schema = DATABASE() AND table_name = 'geminihook_deliveries'`
		return size, db.QueryRowContext(ctx, query).Scan(&size)
	}
}

func mysqlLogged(db *sql.DB) func(context.Context) (float64, error) {
	return func(ctx context.Context) (size float64, err error) {
		var name string
		row := db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'")
		return size, row.Scan(&name, &size)
	}
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/geminihook/geminihook/sqlstore"
)

// The engines have the names by which ent and sqlx know them.
const (
	engineSQLite   = "sqlite3"
	enginePostgres = "postgres"
	engineMySQL    = "mysql"
)

// database is one pool of connections, which the store and all libraries share.
type database struct {
	engine string
	db     *sql.DB
	store  *sqlstore.Store
}

// open opens the database with the given name, which is a postgres:// URL, mysql://
// and a data source name, or the name of a file for SQLite.
func open(ctx context.Context, name string) (_ *database, err error) {
	// ent requires foreign_keys.
	const settings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	d := &database{engine: engineSQLite}
	driver, source, dialect := "sqlite", "file:"+name+settings, sqlstore.SQLite
	if strings.HasPrefix(name, "postgres://") {
		d.engine = enginePostgres
		driver, source, dialect = "pgx", name, sqlstore.PostgreSQL
	} else if dsn, found := strings.CutPrefix(name, "mysql://"); found {
		d.engine = engineMySQL
		driver, source, dialect = "mysql", dsn, sqlstore.MySQL
	}
	if d.db, err = sql.Open(driver, source); err != nil {
		return nil, err
	}
	d.db.SetMaxOpenConns(16)
	d.db.SetMaxIdleConns(16)
	d.store = sqlstore.New(d.db, dialect)
	if err := d.store.Migrate(ctx); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	return d, nil
}

// rows returns the number of rows that a library has written.
func (d *database) rows(ctx context.Context, library string) (n int, err error) {
	err = d.db.QueryRowContext(ctx, "SELECT count(*) FROM "+library+"_results").Scan(&n)
	return n, err
}

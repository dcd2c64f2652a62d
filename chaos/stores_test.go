package chaos_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"
)

// transactional is the end of the name of a kind that is used as a Transactor. The
// name before it is that of a store: redis, postgres (which is pgstore), sqlite,
// sqlstore postgres, or sqlstore mysql.
const transactional = " transactional"

// opened is a store, or a transactor with what a run writes in its database.
type opened struct {
	store      geminihook.Store
	transactor geminihook.Transactor
	effect     func(ctx context.Context, id string) error

	// exec executes a statement in the transaction of the function.
	exec func(ctx context.Context, query string, args ...any) error

	migrate func(ctx context.Context) error // nil if there is nothing to migrate
	close   func() error
}

// dialFunc makes the connections to a server.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func openStore(ctx context.Context, kind, url string) (opened, error) {
	return openStoreDialing(ctx, kind, url, new(net.Dialer).DialContext)
}

func openStoreDialing(
	ctx context.Context, kind, url string, dial dialFunc,
) (s opened, err error) {
	name, transacts := strings.CutSuffix(kind, transactional)
	switch name {
	case "redis":
		return openRedis(url)
	case "postgres":
		s, err = openPgstore(ctx, url, dial)
	default:
		s, err = openSqlstore(name, url, dial)
	}
	if err != nil {
		return opened{}, err
	}
	s.effect = func(context.Context, string) error { return nil }
	if transacts {
		s.store = nil
		insert := fmt.Sprintf("INSERT INTO effects VALUES (%s)", placeholder(name, 1))
		s.effect = func(ctx context.Context, id string) error { return s.exec(ctx, insert, id) }
	} else {
		s.transactor = nil
	}
	return s, nil
}

func openRedis(url string) (opened, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return opened{}, err
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	none := func(context.Context, string) error { return nil }
	return opened{store: redisstore.New(client), effect: none, close: client.Close}, nil
}

func openPgstore(ctx context.Context, url string, dial dialFunc) (opened, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return opened{}, err
	}
	config.ConnConfig.DialFunc = pgconn.DialFunc(dial)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return opened{}, err
	}
	exec := func(ctx context.Context, query string, args ...any) error {
		tx, err := pgstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, query, args...)
		return err
	}
	closePool := func() error {
		pool.Close()
		return nil
	}
	store := pgstore.New(pool)
	return opened{
		store: store, transactor: store, exec: exec, migrate: store.Migrate, close: closePool,
	}, nil
}

func openSqlstore(name, url string, dial dialFunc) (opened, error) {
	db, dialect, err := openSQL(name, url, dial)
	if err != nil {
		return opened{}, err
	}
	exec := func(ctx context.Context, query string, args ...any) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, query, args...)
		return err
	}
	store := sqlstore.New(db, dialect)
	return opened{
		store: store, transactor: store, exec: exec, migrate: store.Migrate, close: db.Close,
	}, nil
}

// openSQL opens the database of a store through database/sql.
func openSQL(name, url string, dial dialFunc) (*sql.DB, sqlstore.Dialect, error) {
	switch name {
	case "sqlite":
		db, err := sql.Open("sqlite", url)
		return db, sqlstore.SQLite, err
	case "postgres", "sqlstore postgres":
		config, err := pgx.ParseConfig(url)
		if err != nil {
			return nil, 0, err
		}
		config.DialFunc = pgconn.DialFunc(dial)
		return stdlib.OpenDB(*config), sqlstore.PostgreSQL, nil
	case "sqlstore mysql":
		config, err := mysql.ParseDSN(url)
		if err != nil {
			return nil, 0, err
		}
		config.DialFunc = dial
		config.Logger = &mysql.NopLogger{} // connections break, as they should
		connector, err := mysql.NewConnector(config)
		if err != nil {
			return nil, 0, err
		}
		return sql.OpenDB(connector), sqlstore.MySQL, nil
	}
	return nil, 0, fmt.Errorf("no store %q", name)
}

// placeholder returns the nth parameter of a statement.
func placeholder(name string, n int) string {
	if strings.HasSuffix(name, "postgres") {
		return fmt.Sprintf("$%d", n)
	}
	return "?"
}

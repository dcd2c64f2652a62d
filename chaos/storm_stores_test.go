package chaos_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"
)

// stormKinds are the stores that several instances can share. Those that are
// transactional are used as a Transactor.
var stormKinds = []string{
	"redis",
	"pgstore", "pgstore transactional",
	"postgres", "postgres transactional",
	"mariadb", "mariadb transactional",
	"sqlite", "sqlite transactional",
}

// stormReceivers is how many receivers share the store, each with connections of its
// own, and stormConnections how many each has at most.
const (
	stormReceivers   = 2
	stormConnections = 16
)

// stormStore is a store in a database, which can go away.
type stormStore struct {
	endpoints []*geminihook.Endpoint
	hang      func(t *testing.T) stormOutage

	// effect is what a run does. The others read what was committed, and are nil
	// unless the store is transactional.
	effect    func(ctx context.Context, id string) error
	committed func(ctx context.Context, id string) (bool, error)
	effects   func() map[string]int
}

// stormOutage is a store that hangs. Kill makes it refuse connections, if it has any.
type stormOutage struct{ kill, end func(t *testing.T) }

// openStormStore starts the server and connects the receivers.
func openStormStore(t *testing.T, kind string) *stormStore {
	t.Helper()
	name, transactional := strings.CutSuffix(kind, " transactional")
	s := &stormStore{effect: func(context.Context, string) error { return nil }}
	switch name {
	case "redis":
		server := testserver.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
		s.hang = suspend(server)
		for range stormReceivers {
			s.add(redisstore.New(stormRedis(t, server)), false)
		}
	case "pgstore":
		server := testserver.NewPostgres(t, "-c", "fsync=on")
		s.hang = suspend(server)
		for range stormReceivers {
			store := pgstore.New(stormPool(t, server))
			require.NoError(t, store.Migrate(t.Context()))
			s.add(store, transactional)
		}
		s.readEffects(t, transactional, "pgx", server.URL, "$1")
		s.writeEffects(transactional, postgresEffect)
	case "postgres":
		server := testserver.NewPostgres(t, "-c", "fsync=on")
		s.hang = suspend(server)
		s.addSQL(t, transactional, sqlstore.PostgreSQL, "pgx", server.URL)
		s.readEffects(t, transactional, "pgx", server.URL, "$1")
		s.writeEffects(transactional, sqlEffect("$1"))
	case "mariadb":
		_ = mysql.SetLogger(&mysql.NopLogger{}) // it logs each connection that breaks
		server := testserver.NewMySQL(t, "--innodb-flush-log-at-trx-commit=1")
		s.hang = suspend(server)
		s.addSQL(t, transactional, sqlstore.MySQL, "mysql", server.URL)
		s.readEffects(t, transactional, "mysql", server.URL, "?")
		s.writeEffects(transactional, sqlEffect("?"))
	case "sqlite":
		file := "file:" + filepath.Join(t.TempDir(), "storm.db") +
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
		s.hang = occupy(file)
		s.addSQL(t, transactional, sqlstore.SQLite, "sqlite", file)
		s.readEffects(t, transactional, "sqlite", file, "?")
		s.writeEffects(transactional, sqlEffect("?"))
	}
	return s
}

// add adds a receiver.
func (s *stormStore) add(store geminihook.Store, transactional bool) {
	endpoint := &geminihook.Endpoint{Store: store}
	if transactional {
		endpoint = &geminihook.Endpoint{Transactor: store.(geminihook.Transactor)}
	}
	s.endpoints = append(s.endpoints, endpoint)
}

func (s *stormStore) addSQL(
	t *testing.T, transactional bool, dialect sqlstore.Dialect, driver, url string,
) {
	t.Helper()
	for range stormReceivers {
		store := sqlstore.New(stormDB(t, driver, url), dialect)
		require.NoError(t, store.Migrate(t.Context()))
		s.add(store, transactional)
	}
}

// readEffects creates the table that the function writes to.
func (s *stormStore) readEffects(
	t *testing.T, transactional bool, driver, url, placeholder string,
) {
	t.Helper()
	if !transactional {
		return
	}
	db := stormDB(t, driver, url)
	for _, statement := range []string{
		"CREATE TABLE effects (id VARCHAR(256))", "CREATE INDEX effects_id ON effects (id)",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	s.committed = func(ctx context.Context, id string) (there bool, err error) {
		const query = "SELECT count(*) > 0 FROM effects WHERE id = "
		err = db.QueryRowContext(ctx, query+placeholder, id).Scan(&there)
		return there, err
	}
	s.effects = func() map[string]int { return countEffects(t, db) }
}

func (s *stormStore) writeEffects(
	transactional bool, effect func(ctx context.Context, id string) error,
) {
	if transactional {
		s.effect = effect
	}
}

// postgresEffect writes an effect in the transaction of a pgstore.
func postgresEffect(ctx context.Context, id string) error {
	tx, err := pgstore.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", id)
	return err
}

// sqlEffect writes an effect in the transaction of a sqlstore.
func sqlEffect(placeholder string) func(ctx context.Context, id string) error {
	return func(ctx context.Context, id string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO effects VALUES ("+placeholder+")", id)
		return err
	}
}

func stormRedis(t *testing.T, server *testserver.Server) *redis.Client {
	t.Helper()
	logging.Disable() // it logs each connection that is refused
	client := redis.NewClient(&redis.Options{
		Addr: server.Addr, ContextTimeoutEnabled: true, PoolSize: stormConnections,
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func stormPool(t *testing.T, server *testserver.Server) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(server.URL)
	require.NoError(t, err)
	config.MaxConns = stormConnections
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func stormDB(t *testing.T, driver, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, url)
	require.NoError(t, err)
	db.SetMaxOpenConns(stormConnections)
	db.SetMaxIdleConns(stormConnections)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// suspend lets a server hang, then kills it, and then starts it again.
func suspend(server *testserver.Server) func(*testing.T) stormOutage {
	return func(t *testing.T) stormOutage {
		resume, err := server.Suspend()
		require.NoError(t, err)
		t.Cleanup(resume)
		kill := func(t *testing.T) {
			require.NoError(t, server.Kill())
			resume()
		}
		start := func(t *testing.T) { require.NoError(t, server.Start()) }
		return stormOutage{kill: kill, end: start}
	}
}

// occupy locks a SQLite file for all who want to write.
func occupy(file string) func(*testing.T) stormOutage {
	return func(t *testing.T) stormOutage {
		conn, err := stormDB(t, "sqlite", file).Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		require.NoError(t, err)
		unlock := func(t *testing.T) {
			_, err := conn.ExecContext(t.Context(), "ROLLBACK")
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}
		return stormOutage{kill: func(*testing.T) {}, end: unlock}
	}
}

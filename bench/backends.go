package main

import (
	"context"
	"database/sql"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // the driver
)

func openMemory(_ string, ids int) (*openStore, error) {
	before := heap()
	m := &geminihook.MemoryStore{MaxEntries: 10 * ids}
	s := &openStore{store: m, bare: bareMap(), close: func() {}}
	for i := range ids {
		s.handle(context.Background(), oldKey(i))
	}
	s.bytesPerID = float64(heap()-before) / float64(ids)
	return s, nil
}

// bareMap writes a key into a map twice.
func bareMap() func(context.Context, string) error {
	var mu sync.Mutex
	states := map[string]int{}
	write := func(key string, state int) {
		mu.Lock()
		defer mu.Unlock()
		states[key] = state
	}
	return func(_ context.Context, key string) error {
		write(key, 1)
		write(key, 2)
		return nil
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func openRedis(_ string, ids int) (*openStore, error) {
	server, err := testserver.StartRedis()
	if err != nil {
		return nil, err
	}
	trips := &testserver.RoundTrips{}
	client := redis.NewClient(&redis.Options{
		Addr: server.Addr, Dialer: trips.Dial, ContextTimeoutEnabled: true,
	})
	s := &openStore{store: redisstore.New(client), trips: trips, bare: bareRedis(client)}
	s.close = func() {
		_ = client.Close()
		_ = server.Close()
	}
	ctx := context.Background()
	s.handle(ctx, "warm") // the server learns the scripts
	used := func() (float64, error) {
		const script = "return tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))"
		return client.Do(ctx, "EVAL", script, 0).Float64()
	}
	before, err := used()
	if err != nil {
		return s, err
	}
	// The other ids are copies of a handled one.
	s.handle(ctx, oldKey(0))
	const prefix = "geminihook:" // the default of redisstore
	const fill = `local id = redis.call('DUMP', KEYS[1])
		for i = ARGV[1], ARGV[2] do
			redis.call('RESTORE', string.format('%smsg_old%024d', ARGV[3], i), 3600000, id)
		end`
	for i := 1; i < ids; i += 1000 {
		last := min(i+999, ids-1)
		err := client.Eval(ctx, fill, []string{prefix + oldKey(0)}, i, last, prefix).Err()
		if err != nil && err != redis.Nil {
			return s, err
		}
	}
	after, err := used()
	s.bytesPerID = (after - before) / float64(ids)
	return s, err
}

// bareRedis takes a key and marks it, with an expiry each time.
func bareRedis(client *redis.Client) func(context.Context, string) error {
	return func(ctx context.Context, key string) error {
		if err := client.SetNX(ctx, "bare:"+key, "claimed", time.Minute).Err(); err != nil {
			return err
		}
		return client.Set(ctx, "bare:"+key, "done", time.Hour).Err()
	}
}

func openPostgres(_ string, ids int) (*openStore, error) {
	server, err := testserver.StartPostgres("-c", "fsync=on")
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(server.URL)
	if err != nil {
		return nil, err
	}
	trips := &testserver.RoundTrips{}
	config.ConnConfig.DialFunc = trips.Dial
	config.MaxConns = 8
	ctx := context.Background()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	store := pgstore.New(pool)
	s := &openStore{store: store, trips: trips}
	s.close = func() {
		pool.Close()
		_ = server.Close()
	}
	if err := store.Migrate(ctx); err != nil {
		return s, err
	}
	const fill = `
		INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT ('msg_old' || lpad(i::text, 24, '0'))::bytea, 2, substr(md5(i::text), 1, 26)::bytea,
			1, now(), now() + interval '1 hour'
		FROM generate_series(0, $1::int - 1) AS i`
	if _, err := pool.Exec(ctx, fill, ids); err != nil {
		return s, err
	}
	if _, err := pool.Exec(ctx, "VACUUM ANALYZE geminihook_deliveries"); err != nil {
		return s, err
	}
	var size int64
	err = pool.QueryRow(ctx, "SELECT pg_total_relation_size('geminihook_deliveries')").Scan(&size)
	if err != nil {
		return s, err
	}
	s.bytesPerID = float64(size) / float64(ids)
	_, err = pool.Exec(ctx, "CREATE TABLE bare (key bytea PRIMARY KEY, state smallint)")
	s.insert = func(ctx context.Context, key string) error {
		_, err := pool.Exec(ctx, "INSERT INTO bare VALUES ($1, 1)", []byte(key))
		return err
	}
	s.bare = func(ctx context.Context, key string) error {
		if err := s.insert(ctx, key); err != nil {
			return err
		}
		_, err := pool.Exec(ctx, "UPDATE bare SET state = 2 WHERE key = $1", []byte(key))
		return err
	}
	return s, err
}

func openSQLite(dir string, ids int) (*openStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	const settings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
	db, err := sql.Open("sqlite", "file:"+dir+"/bench.db"+settings)
	if err != nil {
		return nil, err
	}
	store := sqlstore.New(db, sqlstore.SQLite)
	s := &openStore{store: store, close: func() { _ = db.Close() }}
	ctx := context.Background()
	if err := store.Migrate(ctx); err != nil {
		return s, err
	}
	const fill = `
		WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c WHERE i < ?1 - 1)
		INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT CAST(printf('msg_old%024d', i) AS BLOB), 2, randomblob(26), 1, 0, ?2 FROM c`
	if _, err := db.ExecContext(ctx, fill, ids, time.Now().Add(time.Hour).UnixMicro()); err != nil {
		return s, err
	}
	if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return s, err
	}
	var pages, size int64
	row := db.QueryRowContext(ctx, "SELECT * FROM pragma_page_count(), pragma_page_size()")
	if err := row.Scan(&pages, &size); err != nil {
		return s, err
	}
	s.bytesPerID = float64(pages*size) / float64(ids)
	const table = "CREATE TABLE bare (key BLOB PRIMARY KEY NOT NULL, state INTEGER) WITHOUT ROWID"
	_, err = db.ExecContext(ctx, table)
	s.insert = func(ctx context.Context, key string) error {
		_, err := db.ExecContext(ctx, "INSERT INTO bare VALUES (?, 1)", []byte(key))
		return err
	}
	s.bare = func(ctx context.Context, key string) error {
		if err := s.insert(ctx, key); err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, "UPDATE bare SET state = 2 WHERE key = ?", []byte(key))
		return err
	}
	return s, err
}

// transactional opens the same as a Transactor. The least that its engine must do
// is one commit.
func transactional(open openFunc) openFunc {
	return func(dir string, ids int) (*openStore, error) {
		s, err := open(dir, ids)
		if err == nil {
			s.transactor = s.store.(geminihook.Transactor)
			s.bare = s.insert
		}
		return s, err
	}
}

package main

import (
	"context"
	"database/sql"
	"os"
	"runtime"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // the driver
)

func openMemory(_ string, ids int) (*openStore, error) {
	before := heap()
	m := &geminihook.MemoryStore{MaxEntries: 10 * ids}
	for i := range ids {
		handle(context.Background(), m, oldKey(i))
	}
	return &openStore{store: m, bytesPerID: float64(heap()-before) / float64(ids), close: func() {}}, nil
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
	client := redis.NewClient(&redis.Options{Addr: server.Addr, Dialer: trips.Dial})
	s := &openStore{store: redisstore.New(client), trips: trips, close: func() {
		_ = client.Close()
		_ = server.Close()
	}}
	ctx := context.Background()
	handle(ctx, s.store, "warm") // the server learns the scripts
	used := func() (float64, error) {
		return client.Do(ctx, "EVAL", "return tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))",
			0).Float64()
	}
	before, err := used()
	if err != nil {
		return s, err
	}
	// A copy of a handled id, as often as asked.
	handle(ctx, s.store, oldKey(0))
	const fill = `local id = redis.call('DUMP', KEYS[1])
		for i = ARGV[1], ARGV[2] do redis.call('RESTORE', string.format('%smsg_old%024d', ARGV[3], i), 3600000, id) end`
	for i := 1; i < ids; i += 1000 {
		err := client.Eval(ctx, fill, []string{redisstore.DefaultPrefix + oldKey(0)}, i,
			min(i+999, ids-1), redisstore.DefaultPrefix).Err()
		if err != nil && err != redis.Nil {
			return s, err
		}
	}
	after, err := used()
	s.bytesPerID = (after - before) / float64(ids)
	return s, err
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
	s := &openStore{store: store, trips: trips, close: func() {
		pool.Close()
		_ = server.Close()
	}}
	if err := store.Migrate(ctx); err != nil {
		return s, err
	}
	if _, err := pool.Exec(ctx, `INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT ('msg_old' || lpad(i::text, 24, '0'))::bytea, 2, decode(md5(i::text), 'hex'), 1, now(), now() + interval '1 hour'
		FROM generate_series(0, $1::int - 1) AS i`, ids); err != nil {
		return s, err
	}
	if _, err := pool.Exec(ctx, "VACUUM ANALYZE geminihook_deliveries"); err != nil {
		return s, err
	}
	var size int64
	err = pool.QueryRow(ctx, "SELECT pg_total_relation_size('geminihook_deliveries')").Scan(&size)
	s.bytesPerID = float64(size) / float64(ids)
	return s, err
}

func openSQLite(dir string, ids int) (*openStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+dir+"/bench.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	store := sqlitestore.New(db)
	s := &openStore{store: store, close: func() { _ = db.Close() }}
	ctx := context.Background()
	if err := store.Migrate(ctx); err != nil {
		return s, err
	}
	if _, err := db.ExecContext(ctx, `WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM c WHERE i < ?1 - 1)
		INSERT INTO geminihook_deliveries SELECT CAST(printf('msg_old%024d', i) AS BLOB), 2, randomblob(26), 1, 0, ?2 FROM c`,
		ids, time.Now().Add(time.Hour).UnixMicro()); err != nil {
		return s, err
	}
	if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return s, err
	}
	var pages, size int64
	err = db.QueryRowContext(ctx, "SELECT * FROM pragma_page_count(), pragma_page_size()").Scan(&pages, &size)
	s.bytesPerID = float64(pages*size) / float64(ids)
	return s, err
}

// transactional opens the same as a Transactor.
func transactional(open func(string, int) (*openStore, error)) func(string, int) (*openStore, error) {
	return func(dir string, ids int) (*openStore, error) {
		s, err := open(dir, ids)
		if err == nil {
			s.store = s.store.(interface{ Transactional() geminihook.Store }).Transactional()
		}
		return s, err
	}
}

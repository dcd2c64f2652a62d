package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	rowWorkers = 8
	manyRows   = 10_000_000
)

// rows measures pgstore with many rows: as they are, with wal_compression, while a purge
// removes the half that has expired, and afterward.
func rows(quick bool) *table {
	ids, span := manyRows, 20*time.Second
	if quick {
		ids, span = 10_000, 200*time.Millisecond
	}
	f := fillRows(ids)
	defer f.close()
	t := &table{head: []string{
		"rows", "meanwhile", "events/s", "claim p50", "claim p99", "completion p50",
		"completion p99", "longest", "WAL per event",
	}}
	wait := func() { <-time.After(span) }
	t.add(f.measure("nothing", wait)...)
	f.exec("ALTER SYSTEM SET wal_compression = on", "SELECT pg_reload_conf()", "CHECKPOINT")
	t.add(f.measure(compressed, wait)...)
	var purged int
	var took time.Duration
	during := f.measure("", func() {
		start := time.Now()
		var err error
		purged, err = f.store.Purge(f.ctx, 0)
		must(err)
		took = time.Since(start)
	})
	during[1] = fmt.Sprintf("a purge of %s in %s", millions(purged), seconds(took))
	t.add(during...)
	t.add(f.measure("nothing, after the purge", wait)...)
	return t
}

// compressed is the row whose log the table of volumes computes with.
const compressed = "nothing, `wal_compression` on"

// filled is a store with many rows.
type filled struct {
	ctx    context.Context
	cancel context.CancelFunc
	server *testserver.Server
	pool   *pgxpool.Pool
	store  *pgstore.Store
}

func (f *filled) close() {
	f.pool.Close()
	f.cancel()
	_ = f.server.Close()
}

// fillRows starts a server that has some memory, with rows in the order of their
// expiry and with random keys, as a receiver would have written them. The older half has
// expired. The index of the keys is built last, because that is faster, with as much free
// space as random keys leave.
func fillRows(ids int) *filled {
	server, err := testserver.StartPostgres("-c", "fsync=on", "-c", "shared_buffers=1GB",
		"-c", "max_wal_size=8GB", "-c", "maintenance_work_mem=1GB")
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	pool, err := pgxpool.New(ctx, fmt.Sprintf("%s&pool_max_conns=%d", server.URL, rowWorkers+1))
	must(err)
	store := pgstore.New(pool)
	store.PurgeInterval = -1
	must(store.Migrate(ctx))
	f := &filled{ctx: ctx, cancel: cancel, server: server, pool: pool, store: store}
	f.exec("ALTER TABLE geminihook_deliveries DROP CONSTRAINT geminihook_deliveries_pkey")
	// A step of the time of expiry is a 4,096th of 7 days.
	const fill = `
		INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT ('v1:msg_' || gen_random_uuid())::bytea, 2, substr(md5(i::text), 1, 13)::bytea, 1, now(),
			to_timestamp(ceil(date_part('epoch', now() + (i::float8 / $1 - 0.5) * interval '7 days') / 147.65) * 147.65)
		FROM generate_series(1, $1::int) AS i`
	_, err = pool.Exec(ctx, fill, ids)
	must(err)
	f.exec("ALTER TABLE geminihook_deliveries ADD PRIMARY KEY (key) WITH (fillfactor = 70)",
		"VACUUM ANALYZE geminihook_deliveries", "CHECKPOINT")
	return f
}

// exec executes statements that return nothing of interest.
func (f *filled) exec(statements ...string) {
	for _, statement := range statements {
		_, err := f.pool.Exec(f.ctx, statement)
		must(err)
	}
}

// measure handles events while something else goes on, and returns a row of the table.
// The number of rows is that at the beginning.
func (f *filled) measure(name string, meanwhile func()) []string {
	var rows int
	const query = "SELECT count(*) FROM geminihook_deliveries"
	must(f.pool.QueryRow(f.ctx, query).Scan(&rows))
	done := make(chan struct{})
	claims := make([]latencies, rowWorkers)
	completions := make([]latencies, rowWorkers)
	walBefore, start := f.wal(), time.Now()
	var wg sync.WaitGroup
	for worker := range rowWorkers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				claim, completion := handleEvent(f.ctx, f.store, "v1:"+webhooktest.NewID())
				claims[worker] = append(claims[worker], claim)
				completions[worker] = append(completions[worker], completion)
			}
		})
	}
	meanwhile()
	close(done)
	wg.Wait()
	elapsed, wal := time.Since(start), f.wal()-walBefore
	claim := latencies(slices.Concat(claims...))
	completion := latencies(slices.Concat(completions...))
	slices.Sort(claim)
	slices.Sort(completion)
	longest := max(claim[len(claim)-1], completion[len(completion)-1])
	return []string{
		millions(rows), name, perSecond(len(claim), elapsed),
		claim.at(50), claim.at(99), completion.at(50), completion.at(99),
		duration(float64(longest)), whole(float64(wal) / float64(len(claim))),
	}
}

func millions(n int) string { return digits(float64(n)/1e6) + " M" }

// wal returns how many bytes of write-ahead log the server has written.
func (f *filled) wal() (bytes int64) {
	const query = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"
	must(f.pool.QueryRow(f.ctx, query).Scan(&bytes))
	return bytes
}

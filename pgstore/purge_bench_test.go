package pgstore_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// BenchmarkPurge measures what the README's table shows: how long Purge takes,
// and how long claims take meanwhile. ROWS is the size of the table.
//
//	ROWS=10000000 go test -run '^$' -bench '^BenchmarkPurge$' -benchtime 1x -timeout 2h
func BenchmarkPurge(b *testing.B) {
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("ROWS"), "1000000"))
	require.NoError(b, err)
	url := testserver.NewPostgres(b, "-c", "fsync=on", "-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB",
		"-c", "maintenance_work_mem=512MB").URL
	pool := connect(b, url)
	for _, c := range []struct {
		expired string
		prepare func()
	}{
		{"none", func() { refill(b, pool, rows, false) }},
		{"1%", func() { insert(b, pool, rows/100, true) }},
		{"all", func() { refill(b, pool, rows, true) }},
	} {
		for _, long := range []bool{false, true} {
			name := fmt.Sprintf("rows=%d/expired=%s/long=%t", rows, c.expired, long)
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if c.expired != "none" || !long {
						c.prepare()
					}
					if long {
						defer transaction(b, url)()
					}
					purger := pgstore.New(connect(b, url, maxConns(1)))
					measurePurge(b, purger, pgstore.New(connect(b, url, maxConns(1))))
				}
			})
		}
	}
}

// measurePurge claims while it purges, and then for as long again, at most 20
// seconds, to tell the purge from the machine's other work.
func measurePurge(b *testing.B, purger, store *pgstore.Store) {
	store.PurgeInterval = -1
	_, err := purger.Purge(b.Context(), 1) // prepares the statement
	require.NoError(b, err)
	claimUntil(b, store, func() bool { return true })
	var purged int
	var took time.Duration
	finished := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(finished)
		purged, err = purger.Purge(b.Context(), 0)
		took = time.Since(start)
	}()
	claims := claimUntil(b, store, func() bool {
		select {
		case <-finished:
			return true
		default:
			return false
		}
	})
	require.NoError(b, err)
	start = time.Now()
	enough := min(took, 20*time.Second)
	alone := claimUntil(b, store, func() bool { return time.Since(start) > enough })
	b.ReportMetric(float64(purged), "purged")
	b.ReportMetric(milliseconds(took), "purge-ms")
	b.ReportMetric(float64(len(claims)), "claims")
	b.ReportMetric(milliseconds(claims[len(claims)*99/100]), "p99-claim-ms")
	b.ReportMetric(milliseconds(claims[len(claims)-1]), "slowest-claim-ms")
	b.ReportMetric(milliseconds(alone[len(alone)*99/100]), "p99-claim-alone-ms")
	b.ReportMetric(milliseconds(alone[len(alone)-1]), "slowest-claim-alone-ms")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// claimUntil claims keys of 40 random bytes, at least 100, and returns how long
// each claim took, in order.
func claimUntil(b *testing.B, store *pgstore.Store, stop func() bool) (took []time.Duration) {
	for len(took) < 100 || !stop() {
		key := (rand.Text() + rand.Text())[:40]
		start := time.Now()
		acquire(b, store, key, time.Minute, 7*24*time.Hour)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took
}

// refill replaces the table by one of so many rows.
func refill(b *testing.B, pool *pgxpool.Pool, rows int, expired bool) {
	b.Helper()
	run(b, pool, "DROP TABLE IF EXISTS geminihook_deliveries")
	require.NoError(b, pgstore.New(pool).Migrate(b.Context()))
	run(b, pool, "ALTER TABLE geminihook_deliveries DROP CONSTRAINT geminihook_deliveries_pkey")
	insert(b, pool, rows, expired)
	run(b, pool, "ALTER TABLE geminihook_deliveries ADD PRIMARY KEY (key)")
	run(b, pool, "VACUUM ANALYZE geminihook_deliveries")
	run(b, pool, "CHECKPOINT")
}

// insert adds rows as they are after a week of events.
func insert(b *testing.B, pool *pgxpool.Pool, rows int, expired bool) {
	b.Helper()
	shift := time.Duration(0)
	if expired {
		shift = -8 * 24 * time.Hour
	}
	run(b, pool, `INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT left(encode(sha256(convert_to(i || clock_timestamp()::text, 'UTF8')), 'hex'), 40)::bytea, 2, left(md5(i::text), 16)::bytea, 1, now(),
			to_timestamp(ceil((extract(epoch FROM now())::float8 + $2::float8 + 604800 * i::float8 / $1::int) / 147.65625) * 147.65625)
		FROM generate_series(1, $1::int) AS i`, rows, shift.Seconds())
}

// transaction begins a transaction that keeps what is deleted from being
// removed, and returns what ends it.
func transaction(b *testing.B, url string) (end func()) {
	b.Helper()
	tx, err := connect(b, url).BeginTx(b.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(b, err)
	_, err = tx.Exec(b.Context(), "SELECT count(*) FROM pg_class")
	require.NoError(b, err)
	return func() { _ = tx.Rollback(context.WithoutCancel(b.Context())) }
}

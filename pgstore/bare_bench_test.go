package pgstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// BenchmarkBesideBare compares the store with the statements that a program would
// write without it, through the same driver, to the same server: a claim and its
// completion, and a transaction that adds a row. Slices of both take turns, and the
// medians are reported.
//
//	go test -run '^$' -bench BesideBare -benchtime 1x
func BenchmarkBesideBare(b *testing.B) {
	url := testserver.NewPostgres(b, "-c", "fsync=on", "-c", "max_connections=200").URL
	for _, workers := range []int{1, 8, 64} {
		pool := connect(b, url, maxConns(int32(workers+1)))
		run(b, pool, "DROP TABLE IF EXISTS geminihook_deliveries, bare, effects")
		store := pgstore.New(pool)
		require.NoError(b, store.Migrate(b.Context()))
		run(b, pool, "CREATE TABLE bare (LIKE geminihook_deliveries INCLUDING ALL)")
		run(b, pool, "CREATE TABLE effects (id text)")
		b.Run(fmt.Sprintf("leases/%d", workers), func(b *testing.B) {
			compare(b, workers, leased(store), bareLeased(pool))
		})
		b.Run(fmt.Sprintf("transactions/%d", workers), func(b *testing.B) {
			compare(b, workers, transacted(store), bareTransacted(pool))
		})
	}
}

type handle func(ctx context.Context, key string) error

const effect = "INSERT INTO effects VALUES ($1)"

func leased(store *pgstore.Store) handle {
	return func(ctx context.Context, key string) error {
		token := rand.Text()
		if _, err := store.Claim(ctx, key, token, time.Minute, 7*24*time.Hour); err != nil {
			return err
		}
		return store.Complete(ctx, key, token, 7*24*time.Hour)
	}
}

func bareLeased(pool *pgxpool.Pool) handle {
	const claim = `
INSERT INTO bare AS d (key, state, token, attempt, lease, expires)
VALUES ($1, 1, $2, 1, now() + $3::bigint * interval '1 s', now() + $4::bigint * interval '1 s')
ON CONFLICT (key) DO UPDATE
SET token = excluded.token, attempt = d.attempt + 1, lease = excluded.lease, expires = excluded.expires
WHERE d.state = 1 AND d.lease < now()
RETURNING attempt`
	const complete = "UPDATE bare SET state = 2 WHERE key = $1 AND token = $2 AND state = 1"
	return func(ctx context.Context, key string) error {
		token := rand.Text()
		var attempt int
		row := pool.QueryRow(ctx, claim, []byte(key), []byte(token), 60, 7*24*60*60)
		if err := row.Scan(&attempt); err != nil {
			return err
		}
		_, err := pool.Exec(ctx, complete, []byte(key), []byte(token))
		return err
	}
}

func transacted(store *pgstore.Store) handle {
	return func(ctx context.Context, key string) error {
		_, err := store.Transact(ctx, key, 7*24*time.Hour, func(ctx context.Context) error {
			tx, err := pgstore.Tx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, effect, key)
			return err
		})
		return err
	}
}

func bareTransacted(pool *pgxpool.Pool) handle {
	const mark = `
INSERT INTO bare (key, state, attempt, lease, expires)
VALUES ($1, 2, 1, now(), now() + $2::bigint * interval '1 s')
ON CONFLICT DO NOTHING`
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
		if _, err := conn.Exec(ctx, effect, key); err != nil {
			return err
		}
		end.Queue("RELEASE SAVEPOINT bare")
		end.Queue(mark, []byte(key), 7*24*60*60)
		end.Queue("COMMIT")
		return conn.SendBatch(ctx, &end).Close()
	}
}

// compare runs slices of each in turns and reports the medians of their speeds, in
// events per second, and the median of the ratios.
func compare(b *testing.B, workers int, ours, bare handle) {
	const slicesOfEach = 31
	speed(b, workers, ours)
	speed(b, workers, bare)
	var our, other, ratios []float64
	for i := range slicesOfEach {
		var x, y float64
		if i%2 == 0 {
			x = speed(b, workers, ours)
			y = speed(b, workers, bare)
		} else {
			y = speed(b, workers, bare)
			x = speed(b, workers, ours)
		}
		our, other, ratios = append(our, x), append(other, y), append(ratios, x/y)
	}
	b.ReportMetric(median(our), "events/s")
	b.ReportMetric(median(other), "bare/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// speed handles new events for a while, and returns how many per second.
func speed(b *testing.B, workers int, do handle) float64 {
	const slice = 400 * time.Millisecond
	counts := make([]int, workers)
	start := time.Now()
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for time.Since(start) < slice {
				if err := do(b.Context(), (rand.Text() + rand.Text())[:40]); err != nil {
					b.Error(err)
					return
				}
				counts[i]++
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / took.Seconds()
}

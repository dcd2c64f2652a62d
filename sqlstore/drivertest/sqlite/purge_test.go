package sqlite_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPurge(t *testing.T) {
	store, db := newStore(t)
	fill(t, db, "expired", 1300, time.Now().Add(-time.Hour))
	fill(t, db, "fresh", 10, time.Now().Add(time.Hour))
	for _, want := range []struct{ limit, purged int }{{600, 600}, {0, 700}, {0, 0}} {
		n, err := store.Purge(t.Context(), want.limit)
		require.NoError(t, err)
		assert.Equal(t, want.purged, n)
	}
	assert.Equal(t, 10, rows(t, db))
}

// TestPurgeRidesOnClaims tests that expired rows go, a batch per minute, if
// nobody calls Purge.
func TestPurgeRidesOnClaims(t *testing.T) {
	for name, call := range map[string]func(context.Context, *sqlstore.Store, string) error{
		"claim": func(ctx context.Context, store *sqlstore.Store, key string) error {
			_, err := store.Claim(ctx, key, rand.Text(), time.Minute, time.Hour)
			return err
		},
		"transact": func(ctx context.Context, store *sqlstore.Store, key string) error {
			_, err := store.Transact(ctx, key, time.Hour, succeed)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, db := newStore(t)
				defer func() { _ = db.Close() }()
				fill(t, db, "expired", 250, time.Now().Add(-time.Hour))
				const expired = `SELECT count(*) FROM geminihook_deliveries
					WHERE CAST(key AS TEXT) LIKE 'expired%'`
				for i, left := range []int{150, 50, 0} {
					for _, pause := range []time.Duration{0, time.Minute - time.Microsecond} {
						letPass(pause)
						require.NoError(t, call(t.Context(), store, fmt.Sprint("msg_", i, pause)))
						assert.Equal(t, left, count(t, db, expired))
					}
					letPass(time.Microsecond)
				}
			})
		})
	}
}

// letPass lets time pass in a synctest bubble.
func letPass(d time.Duration) { <-time.After(d) }

func succeed(context.Context) error { return nil }

func rows(t testing.TB, db *sql.DB) int {
	t.Helper()
	return count(t, db, "SELECT count(*) FROM geminihook_deliveries")
}

// fill makes rows that are done.
func fill(t testing.TB, db *sql.DB, prefix string, n int, expires time.Time) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < ?2)
		INSERT INTO geminihook_deliveries
		SELECT CAST(?1 || lower(hex(randomblob(16))) AS BLOB), 2, randomblob(26), 1, 0, ?3 FROM c`,
		prefix, n, expires.UnixMicro())
	require.NoError(t, err)
}

// BenchmarkPurge purges a million rows of which some have expired. It also
// reports how long the slowest of the claims took that came meanwhile.
func BenchmarkPurge(b *testing.B) {
	const million = 1_000_000
	for _, bb := range []struct {
		name    string
		expired int
	}{{"none expired", 0}, {"1% expired", million / 100}, {"all expired", million}} {
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				store, db := open(b, filepath.Join(b.TempDir(), "bench.db"))
				fill(b, db, "old_", bb.expired, time.Now().Add(-time.Hour))
				fill(b, db, "new_", million-bb.expired, time.Now().Add(time.Hour))
				_, err := db.ExecContext(b.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
				require.NoError(b, err)
				b.StartTimer()
				purged := make(chan error, 1)
				go func() {
					_, err := store.Purge(b.Context(), 0)
					purged <- err
				}()
				claims, slowest := claimUntil(b, store, purged)
				b.StopTimer()
				b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-claim-ms")
				b.ReportMetric(float64(claims), "claims")
				require.NoError(b, db.Close())
				b.StartTimer()
			}
		})
	}
}

func claimUntil(
	b *testing.B, store *sqlstore.Store, end <-chan error,
) (claims int, slowest time.Duration) {
	b.Helper()
	for {
		start := time.Now()
		key := "msg_" + start.String()
		_, err := store.Claim(b.Context(), key, "token", time.Minute, time.Hour)
		require.NoError(b, err)
		slowest = max(slowest, time.Since(start))
		claims++
		select {
		case err := <-end:
			require.NoError(b, err)
			return claims, slowest
		default:
		}
	}
}

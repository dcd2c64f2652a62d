package sqlitestore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook/sqlitestore"
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
	for _, tt := range []struct {
		name string
		call func(store *sqlitestore.Store, key string) error
	}{
		{"claim", func(store *sqlitestore.Store, key string) error {
			_, err := store.Claim(t.Context(), key, rand.Text(), time.Minute, time.Hour)
			return err
		}},
		{"transact", func(store *sqlitestore.Store, key string) error {
			_, err := store.Transact(t.Context(), key, time.Hour, func(context.Context) error { return nil })
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			store, db := newStore(t)
			store.Now = func() time.Time { return now }
			claims := 0
			pass := func(d time.Duration) (left int) {
				now = now.Add(d)
				claims++
				require.NoError(t, tt.call(store, "msg_"+strconv.Itoa(claims)))
				return count(t, db, "SELECT count(*) FROM geminihook_deliveries WHERE CAST(key AS TEXT) LIKE 'expired%'")
			}
			// A slow disk may take more time than a claim allows: then another
			// claim tries a minute later.
			fill(t, db, "expired", 250, now.Add(-time.Hour))
			for left := 250; left > 0; {
				require.Less(t, claims, 1000)
				n := pass(time.Minute)
				assert.Contains(t, []int{left, max(0, left-100)}, n)
				left = n
				assert.Equal(t, left, pass(0))
				assert.Equal(t, left, pass(time.Minute-time.Microsecond), "within the minute")
			}
			// A clock that was set back does not stop it for so long.
			now = now.Add(-24 * time.Hour)
			fill(t, db, "expired", 50, now.Add(-time.Hour))
			for start := claims; pass(time.Minute) > 0; {
				require.Less(t, claims-start, 1000)
			}
		})
	}
}

func rows(t testing.TB, db *sql.DB) int {
	t.Helper()
	return count(t, db, "SELECT count(*) FROM geminihook_deliveries")
}

// fill makes rows that are done.
func fill(t testing.TB, db *sql.DB, prefix string, n int, expires time.Time) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < ?2)
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

func claimUntil(b *testing.B, store *sqlitestore.Store, end <-chan error) (claims int, slowest time.Duration) {
	b.Helper()
	for {
		start := time.Now()
		_, err := store.Claim(b.Context(), "msg_"+start.String(), rand.Text(), time.Minute, time.Hour)
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

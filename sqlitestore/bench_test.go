package sqlitestore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkPurgeMillion also says how long a claim took at most meanwhile.
func BenchmarkPurgeMillion(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		store, db := open(b, filepath.Join(b.TempDir(), "bench.db"))
		fill(b, db, "msg_", 1_000_000, time.Now().Add(-time.Hour))
		_, err := db.ExecContext(b.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
		require.NoError(b, err)
		b.StartTimer()
		purged := make(chan error, 1)
		go func() {
			_, err := store.Purge(b.Context(), 0)
			purged <- err
		}()
		var slowest time.Duration
		var claims int
		for running := true; running; claims++ {
			start := time.Now()
			_, err := store.Claim(b.Context(), "new_"+start.String(), time.Minute, time.Hour)
			require.NoError(b, err)
			slowest = max(slowest, time.Since(start))
			select {
			case err := <-purged:
				require.NoError(b, err)
				running = false
			default:
			}
		}
		b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-claim-ms")
		b.ReportMetric(float64(claims), "claims")
	}
}

package pgstore

import (
	"cmp"
	"context"
	"sync"
	"time"
)

const (
	// purgeBatch is how many rows one transaction removes: 1,000 take about
	// ten milliseconds.
	purgeBatch = 1000
	// rescan is how long the lower bound of the scan is trusted. A row can
	// appear below it: one that was locked, or whose transaction committed
	// late, or if the database's clock was set back.
	rescan = time.Hour
	// purgeTimeout bounds a purge in the background.
	purgeTimeout = 3 * time.Second
)

// purgeState is what a Store remembers of its purges.
type purgeState struct {
	mu    sync.Mutex
	last  time.Time // when a claim last started one
	from  time.Time // the lower bound of the scan: no row is left that expired before
	since time.Time // when the lower bound was last set back to zero
}

// Purge removes up to limit rows that have expired, the oldest first, in
// transactions of at most 1,000 rows, and returns how many it removed. A limit
// of zero or less means all. Several instances may purge at the same time, and
// Purge may be interrupted. It skips rows that are locked.
//
// Claims remove expired rows, too; see [Store.PurgeInterval]. Purge is for
// programs that want to choose the time, or that handle more events than claims
// keep up with, which is about 1.4 million a day per instance.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	purged := 0
	for limit <= 0 || purged < limit {
		batch := purgeBatch
		if limit > 0 {
			batch = min(batch, limit-purged)
		}
		n, err := s.purgeOnce(ctx, batch)
		purged += n
		if err != nil || n < batch {
			return purged, failure(ctx, err)
		}
	}
	return purged, nil
}

// purgeOnce removes a batch.
func (s *Store) purgeOnce(ctx context.Context, batch int) (int, error) {
	sql, err := s.statements(ctx)
	if err != nil {
		return 0, err
	}
	from := s.purge.lowerBound()
	var purged int
	if _, err := s.row(ctx, sql.purge, []any{batch, from}, &purged, &from); err != nil {
		return 0, err // rolled back, or of unknown fate
	}
	s.purge.raise(from)
	return purged, nil
}

func (p *purgeState) lowerBound() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.since) > rescan {
		p.from, p.since = time.Time{}, time.Now()
	}
	return p.from
}

func (p *purgeState) raise(from time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if from.After(p.from) {
		p.from = from
	}
}

// due reports whether it is time for a claim to start a purge.
func (p *purgeState) due(interval time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.last) < interval {
		return false
	}
	p.last = time.Now()
	return true
}

// purgeSome removes one batch in the background, at most once per interval. In
// the foreground, it would delay the claim that it follows. It gives way if the
// pool has no connection to spare, and what fails is tried again later.
func (s *Store) purgeSome() {
	interval := cmp.Or(s.PurgeInterval, time.Minute)
	if interval < 0 || !s.purge.due(interval) {
		return
	}
	if stat := s.pool.Stat(); stat.AcquiredConns() >= stat.MaxConns() {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), purgeTimeout)
		defer cancel()
		_, _ = s.purgeOnce(ctx, purgeBatch)
	}()
}

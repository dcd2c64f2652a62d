package sqlstore

import (
	"context"
	"sync"
	"time"
)

// purgeBatch is how many rows one transaction of Purge removes.
const purgeBatch = 500

// Purge removes up to limit rows that have expired, the oldest first, in
// transactions of at most 500 rows, and returns how many it removed. A limit of
// zero or less means all. Expired rows only take space: Claim and Transact treat
// them as absent.
//
// Claims and transactions remove some, too, once per minute and process: 100 with
// [SQLite], and 1,000 with the other dialects. Programs that handle more events
// than that call Purge on a schedule.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	purged := 0
	for limit <= 0 || purged < limit {
		batch := purgeBatch
		if limit > 0 {
			batch = min(batch, limit-purged)
		}
		n, err := s.engine.purge(ctx, batch)
		purged += n
		if err != nil || n < batch {
			return purged, failure(err)
		}
	}
	return purged, nil
}

// purging remembers when a claim or a transaction last removed rows.
type purging struct {
	mu   sync.Mutex
	last time.Time
}

// due reports whether a minute has passed, and if so, begins another one.
func (p *purging) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.last) < time.Minute {
		return false
	}
	p.last = time.Now()
	return true
}

package sqlitestore

import (
	"context"
	"time"
)

const (
	purgeBatch = 500

	// A claim removes purgeFew rows, at most this often, and gives up after
	// purgeLimit, so that a slow disk delays a claim by no more than that. The
	// rows of 500 random keys are on as many pages, and cost tens of
	// milliseconds.
	purgeFew   = 100
	purgeEvery = time.Minute
	purgeLimit = 100 * time.Millisecond

	// ?1 now, ?2 how many.
	purgeSQL = `DELETE FROM geminihook_deliveries WHERE key IN (
	SELECT key FROM geminihook_deliveries WHERE expires <= ?1 ORDER BY expires LIMIT ?2)`
)

// Purge removes up to limit expired rows, the oldest first, in transactions of
// at most 500 rows, and returns how many it removed. A limit of zero or less
// means all. Expired rows only take space: Claim treats them as absent.
//
// Claims and transactions remove 100 expired rows per minute and process on
// their own. Programs that handle more events than that call Purge on a
// schedule.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	purged := 0
	for limit <= 0 || purged < limit {
		batch := purgeBatch
		if limit > 0 {
			batch = min(batch, limit-purged)
		}
		n, err := s.purge(ctx, batch)
		purged += n
		if err != nil {
			return purged, failure(err)
		}
		if n < batch {
			break
		}
	}
	return purged, nil
}

func (s *Store) purge(ctx context.Context, batch int) (int, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	n, err := s.exec(ctx, purgeSQL, s.now(), batch)
	return int(n), err
}

// purgeNow removes some expired rows if none were removed within the last
// minute. The caller is the writer and has the result of its own call: an error
// here is of no interest to it.
func (s *Store) purgeNow(ctx context.Context) {
	now := s.now()
	s.mu.Lock()
	due := now >= s.nextPurge || s.nextPurge-now > purgeEvery.Microseconds() // the clock was set back
	if due {
		s.nextPurge = after(now, purgeEvery)
	}
	s.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, purgeLimit)
	defer cancel()
	_, _ = s.exec(ctx, purgeSQL, now, purgeFew)
}

package storetest_test

import (
	"errors"
	"slices"

	"github.com/geminihook/geminihook"
)

// makeRoom evicts a key if the store is full and the given one is new.
func (r *reference) makeRoom(key string) error {
	now := r.now()
	expired := func(e *entry) bool { return !e.running && !now.Before(e.expires) }
	if r.has("an expired key takes the oldest with it") {
		for _, e := range r.entries {
			if expired(e) && len(r.ended) > 0 {
				delete(r.entries, r.ended[0])
				r.ended = r.ended[1:]
			}
		}
	}
	if r.bound == 0 || len(r.entries) < r.bound || r.entries[key] != nil {
		return nil
	}
	evict := func(fits func(*entry) bool) bool {
		for i, k := range r.ended {
			if e := r.entries[k]; e != nil && fits(e) {
				delete(r.entries, k)
				r.ended = slices.Delete(r.ended, i, i+1)
				return true
			}
		}
		return false
	}
	evictAny := func(fits func(*entry) bool) bool {
		for k, e := range r.entries {
			if fits(e) {
				delete(r.entries, k)
				return true
			}
		}
		return false
	}
	isReleased := func(e *entry) bool { return e.state == released }
	isDone := func(e *entry) bool { return e.state == geminihook.Done }
	leaseExpired := func(e *entry) bool {
		return e.state == geminihook.InProgress && !now.Before(e.lease)
	}
	switch {
	case r.has("the oldest done is evicted first") && evict(isDone):
	case evictAny(expired):
	case !r.has("done is evicted before released") && evict(isReleased):
	case r.has("the newest done is evicted") && evictNewest(r):
	case evict(isDone):
	case evict(isReleased):
	case evictAny(leaseExpired):
	case r.has("keys in progress are evicted") && evictAny(func(*entry) bool { return true }):
	default:
		return errors.New("full")
	}
	return nil
}

func evictNewest(r *reference) bool {
	for i, k := range slices.Backward(r.ended) {
		if e := r.entries[k]; e != nil && e.state == geminihook.Done {
			delete(r.entries, k)
			r.ended = slices.Delete(r.ended, i, i+1)
			return true
		}
	}
	return false
}

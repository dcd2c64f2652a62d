package storetest_test

import (
	"time"

	"github.com/geminihook/geminihook"
)

func (r *reference) Renew(ctx ctx, key, token string, lease time.Duration) error {
	if err := r.begin(ctx, "Renew"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	e, now, err := r.held(key, token, "Renew")
	if err != nil {
		return err
	}
	if e.state != geminihook.InProgress {
		if e.state == geminihook.Done && r.has("Renew of a completed key succeeds") {
			e.expires = now.Add(lease)
			return nil
		}
		return geminihook.ErrLeaseLost
	}
	end := now.Add(lease)
	switch {
	case r.has("Renew does nothing"):
		return nil
	case r.has("Renew adds to the lease"):
		end = e.lease.Add(lease)
	case r.has("Renew counts an attempt"):
		e.attempt++
	}
	e.lease = end
	switch {
	case r.has("Renew leaves the expiry"):
	case r.has("Renew keeps the entry for the lease only"):
		e.expires = end
	case e.expires.Before(end):
		e.expires = end
	}
	return nil
}

package storetest_test

import (
	"time"

	"github.com/geminihook/geminihook"
)

// held returns the entry if the token holds it, which a completed one does, too.
func (r *reference) held(key, token, call string) (*entry, time.Time, error) {
	token = r.readToken(token)
	e, now := r.find(key)
	late := !now.Before(e.lease)
	ok := e.token == token && e.state != released && token != "" && !e.running
	switch {
	case r.gone:
		ok = false
	case ok && late && e.state == geminihook.InProgress && r.has("late "+call+" is refused"):
		ok = false
	case r.has(call + " ignores a stale token"):
		ok = true
	case token == "" && r.has(call+" accepts an empty token"):
		ok = true
	case late && e.attempt > 1 && r.has(call+" accepts any token after two expired leases"):
		ok = true
	}
	if !ok {
		return nil, now, geminihook.ErrLeaseLost
	}
	r.gap(call)
	return e, now, nil
}

func (r *reference) Complete(ctx ctx, key, token string, keep time.Duration) error {
	if err := r.begin(ctx, "Complete"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	e, now, err := r.held(key, token, "Complete")
	if err != nil {
		return err
	}
	if e.state == geminihook.Done {
		switch {
		case r.has("a repeated Complete is refused"):
			return geminihook.ErrLeaseLost
		case r.has("a repeated Complete moves the expiry"),
			r.has("a repeated Complete extends the expiry") && e.expires.Before(now.Add(keep)):
			e.expires = now.Add(keep)
		}
		return nil
	}
	switch r.fault {
	case "Complete keeps for the lease of the claim":
		keep = min(keep, e.span)
	case "Complete keeps for half the keep":
		keep /= 2
	case "Complete keeps for a year at most":
		keep %= 365 * 24 * time.Hour
	case "keep is counted from the claim":
		now = e.claimed
	}
	e.state, e.expires = geminihook.Done, now.Add(keep)
	r.ended = append(r.ended, e.key)
	return nil
}

func (r *reference) Release(ctx ctx, key, token string) error {
	if err := r.begin(ctx, "Release"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	e, now, err := r.held(key, token, "Release")
	if err != nil {
		return err
	}
	switch {
	case e.state == geminihook.Done && r.has("Release after Complete succeeds"):
		return nil
	case e.state == geminihook.Done && r.has("Release after Complete frees the key"):
	case e.state != geminihook.InProgress && !r.has("Release is check-then-set"):
		return geminihook.ErrLeaseLost
	}
	late := !now.Before(e.lease)
	e.state = released
	r.ended = append(r.ended, e.key)
	if r.has("Release forgets the count") || late && r.has("late Release forgets the count") {
		e.attempt = 0
	}
	if r.has("Release is forgotten after a second") {
		e.expires = now.Add(time.Second)
	}
	return nil
}

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

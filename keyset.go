package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// GoogleKeySetURL is where Google publishes the keys of dynamic webhooks, as a
// JWK Set (RFC 7517).
const GoogleKeySetURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"

// The defaults of KeySet.
const (
	DefaultKeyMaxAge     = time.Hour   // where the answer has no Cache-Control max-age
	DefaultKeyMinRefresh = time.Minute // between two fetches
)

const (
	keysServe    = 24 * time.Hour   // after they were fetched
	fetchTimeout = 10 * time.Second // for the whole fetch
)

// KeySet verifies "v1a" signatures with the Ed25519 keys that a URL serves as a
// JWK Set. The zero KeySet verifies Gemini's dynamic webhooks with Google's
// keys.
//
// Keys are fetched when the first v1a delivery comes, again when they are due,
// which makes no delivery wait, and when a signature matches none of them; but
// at most once per MinRefresh, however many deliveries ask, so that a flood of
// forged signatures is not passed on to the key server. If a fetch fails, keys
// go on to serve until 24 hours after they were fetched; without any, Verify's
// error is ErrKeysUnavailable. A fetch may take 10 seconds and 1 MiB.
//
// A valid signature proves that the delivery is from Google, not that it is
// about a job of this program: see Binding.
//
// Do not change it while it is in use, and do not copy it: make a pointer.
type KeySet struct {
	// URL must be https, but for a loopback address, also where it redirects;
	// zero means GoogleKeySetURL.
	URL string
	// Client fetches the keys; nil means http.DefaultClient.
	Client *http.Client
	// MaxAge is how long keys are fresh where the answer's Cache-Control does
	// not say it. What it says counts from 1 minute to 24 hours. Zero means
	// DefaultKeyMaxAge.
	MaxAge time.Duration
	// MinRefresh is the least time from one fetch to the next; zero means
	// DefaultKeyMinRefresh.
	MinRefresh time.Duration
	// Tolerance is how far webhook-timestamp may be from now, either way; zero
	// means DefaultTolerance.
	Tolerance time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger gets a line when keys change, when one is unusable and when a
	// fetch fails. Nil means none.
	Logger *slog.Logger

	mu      sync.Mutex
	ring    *keyring  // the last that was fetched; nil before
	flight  *flight   // the fetch that is under way
	started time.Time // the last fetch
	failed  error     // of the last fetch
}

// Verify implements Verifier. The Key of its Proof is the key's "kid" or, as
// Google's keys have none, its RFC 7638 thumbprint.
func (k *KeySet) Verify(ctx context.Context, header http.Header, body []byte) (Proof, error) {
	var d delivery
	if err := d.parse(header); err != nil {
		return Proof{}, err
	}
	if err := d.checkTime(k.Now, k.Tolerance); err != nil {
		return Proof{}, err
	}
	mismatch := &mismatchError{scheme: SchemeEd25519, found: d.found(), keys: 1}
	m := d.signed(body)
	if len(m.signatures) == 0 {
		return Proof{}, mismatch
	}
	ring, refresh := k.current()
	if ring != nil {
		if name, ok := ring.match(&m, nil); ok {
			return Proof{SchemeEd25519, name}, nil
		}
		refresh = k.refresh() // perhaps the keys were rotated
	}
	newer, err := refresh.wait(ctx)
	if newer == nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
	}
	if name, ok := newer.match(&m, ring); ok {
		return Proof{SchemeEd25519, name}, nil
	}
	mismatch.refresh = err
	return Proof{}, mismatch
}

// flight is a fetch that any number of deliveries wait for.
type flight struct {
	done chan struct{}
	ring *keyring // what may serve after it
	err  error
}

// wait returns when the fetch is over or the caller gives up, which does not
// end the fetch for the others.
func (f *flight) wait(ctx context.Context) (*keyring, error) {
	select {
	case <-f.done:
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.ring == nil && f.err == nil {
		return nil, errTooEarly
	}
	return f.ring, f.err
}

var errTooEarly = errors.New("the keys are too old to serve, and it is too early to fetch them again")

// current returns the keys that may serve and, where they are due or missing,
// the fetch that is to replace them.
func (k *KeySet) current() (*keyring, *flight) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	ring := k.serving(now)
	if ring != nil && now.Before(ring.due) {
		return ring, nil
	}
	return ring, k.start(now)
}

func (k *KeySet) refresh() *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.start(k.now())
}

// start returns the fetch under way, else a new one, else, where it is too
// early for that, one that is over and has the result of the last. The caller
// holds the lock.
func (k *KeySet) start(now time.Time) *flight {
	if k.flight != nil {
		return k.flight
	}
	f := &flight{done: make(chan struct{})}
	since := now.Sub(k.started) // negative if the clock was set back
	if !k.started.IsZero() && since >= 0 && since < cmp.Or(k.MinRefresh, DefaultKeyMinRefresh) {
		f.ring, f.err = k.serving(now), k.failed
		close(f.done)
		return f
	}
	k.flight, k.started = f, now
	go k.fly(f)
	return f
}

// fly fetches, whatever becomes of the deliveries that wait.
func (k *KeySet) fly(f *flight) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	ring, err := k.fetch(ctx)

	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if err == nil {
		ring.fetched, ring.due = now, now.Add(ring.maxAge)
		k.ring = ring
	}
	k.flight, k.failed = nil, err
	f.ring, f.err = k.serving(now), err
}

// serving is the cached set, if it is not too old. The caller holds the lock.
func (k *KeySet) serving(now time.Time) *keyring {
	if k.ring == nil || now.Sub(k.ring.fetched) > keysServe {
		return nil
	}
	return k.ring
}

func (k *KeySet) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

package geminihook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// GoogleKeySetURL is where Google publishes the keys of dynamic webhooks, as a
// JWK Set (RFC 7517).
const GoogleKeySetURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"

const (
	defaultKeyMaxAge     = time.Hour
	defaultKeyMinRefresh = time.Minute
	maxKeyAge            = 24 * time.Hour   // how long keys serve if fetches fail
	fetchTimeout         = 10 * time.Second // the time limit of a whole fetch
	firstRetry           = time.Second      // the first pause after a failed fetch, without keys
)

// KeySet verifies "v1a" signatures with the Ed25519 keys that a URL serves as a
// JWK Set. The zero KeySet verifies Gemini's dynamic webhooks with Google's
// keys.
//
// It fetches the keys when the first v1a delivery arrives and when a signature
// matches none of them; these deliveries wait for the fetch. After MaxAge, the
// next v1a delivery starts a fetch, but does not wait for it. However many
// deliveries ask, it fetches at most once per MinRefresh, so that a flood of
// forged signatures does not reach the key server. Only while it has no keys at
// all does it retry sooner: after one second, then after two, four and so on up
// to MinRefresh. If a fetch fails, the keys remain in use until 24 hours after
// they were fetched. Without any keys, Verify returns [ErrUnavailable]. A
// fetch is limited to 10 seconds and 1 MiB. If the clock is set back, the keys do
// not become younger, and the next v1a delivery starts a fetch.
//
// It uses the first 16 Ed25519 keys of the set and skips keys of other kinds. Of a
// key it looks only at "kty", "crv", "x", "use", "alg" and "kid", not at members
// outside RFC 7517 such as "not_after".
//
// A valid signature proves that the delivery comes from Google, not that it is
// about one of the program's own jobs: see [Binding].
//
// Do not change a KeySet while it is in use, and do not copy it: use a pointer.
type KeySet struct {
	// URL must be https, except for loopback addresses. Empty means
	// GoogleKeySetURL.
	URL string
	// Client fetches the keys. Nil means http.DefaultClient. Its CheckRedirect
	// is not used: at most three redirects are followed, to the same scheme.
	Client *http.Client
	// MaxAge is how long keys are fresh; after that, they are fetched again. A
	// max-age in the response's Cache-Control takes precedence, but counts as no
	// less than 1 minute and no more than 24 hours; no-store and no-cache count
	// as 1 minute. The first of these directives decides. Zero means 1 hour.
	MaxAge time.Duration
	// MinRefresh is the minimum time from one fetch to the next. Zero means 1
	// minute.
	MinRefresh time.Duration
	// Tolerance is how far webhook-timestamp may differ from the current time,
	// in either direction. Zero means 5 minutes.
	Tolerance time.Duration
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Logger gets a line when keys are fetched, when one cannot be used and
	// when a fetch fails. Nil means slog.Default().
	Logger *slog.Logger

	mu       sync.Mutex
	lastNow  time.Time   // what now returned last
	cached   *cachedKeys // the keys of the last successful fetch
	fetched  time.Time   // when the cached keys were fetched
	due      time.Time   // when the next fetch is due
	started  time.Time   // when the last fetch started; zero if the next may start at once
	inflight *keyFetch   // the fetch that is running, or nil
	failures int         // the number of failed fetches since the last success
	lastErr  error       // the error of the last fetch, or nil
}

// cachedKeys is a fetched key set. It does not change once it is cached, and each
// fetch makes another one, so pointers to it tell old keys from newer ones.
type cachedKeys struct{ keys []namedKey }

// match returns the name of the key that made one of the signatures.
func (c *cachedKeys) match(m *ed25519Message) (name string, ok bool) {
	for _, key := range c.keys {
		if m.signedBy(key.PublicKey) {
			return key.name, true
		}
	}
	return "", false
}

// keyFetch is a fetch that any number of deliveries wait for.
type keyFetch struct {
	done chan struct{}
	keys *cachedKeys // what is usable after the fetch: old keys or nil if err is not nil
	err  error
}

// Verify implements [Verifier]. The KeyName of its Proof is the key's "kid" or, as
// Google's keys have none, its RFC 7638 thumbprint.
func (k *KeySet) Verify(ctx context.Context, header http.Header, body []byte) (Proof, error) {
	if k == nil { // fails as an Ed25519 without keys does
		return (&Ed25519{}).Verify(ctx, header, body)
	}
	var d delivery
	if err := d.parseWithin(k.Tolerance, k.Now, header); err != nil {
		return Proof{}, err
	}
	message := d.ed25519Message(body)
	if len(message.signatures) == 0 {
		return Proof{}, d.ed25519Mismatch()
	}
	keys, fresh := k.load()
	if keys != nil && !fresh {
		k.startRefresh()
	}
	if keys != nil {
		if name, ok := keys.match(message); ok {
			return Proof{Scheme: SchemeEd25519, KeyName: name}, nil
		}
	}
	// There are no keys, or Google may have rotated them.
	refreshed, err := k.refresh(ctx, keys)
	if refreshed == nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err != nil {
		return Proof{}, withReason(ErrSignature, "no v1a entry matches the cached public keys, "+
			"and they could not be fetched again: "+err.Error())
	}
	if name, ok := refreshed.match(message); ok {
		return Proof{Scheme: SchemeEd25519, KeyName: name}, nil
	}
	return Proof{}, d.ed25519Mismatch()
}

// load returns the keys that may be used, or nil, and whether they are fresh.
func (k *KeySet) load() (keys *cachedKeys, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	keys = k.usable(now)
	return keys, keys != nil && now.Before(k.due)
}

// startRefresh starts a fetch, unless it is too early, but does not wait for it.
func (k *KeySet) startRefresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _ = k.start(k.now())
}

// refresh waits for keys that are newer than the old ones, which may be nil. With an
// error, it returns the old ones, or nil if they may no longer be used or ctx has ended.
func (k *KeySet) refresh(ctx context.Context, old *cachedKeys) (*cachedKeys, error) {
	k.mu.Lock()
	now := k.now()
	keys := k.usable(now)
	if keys != nil && keys != old { // they were fetched for another delivery in the meantime
		k.mu.Unlock()
		return keys, nil
	}
	f, err := k.start(now)
	k.mu.Unlock()
	if err != nil {
		return keys, err
	}
	select {
	case <-f.done:
		return f.keys, f.err
	case <-ctx.Done():
		return nil, ctx.Err() // the fetch goes on for the others
	}
}

// start returns the running fetch or starts one. If it is too early, it returns an
// error that tells why there are no newer keys. The caller holds the lock.
func (k *KeySet) start(now time.Time) (*keyFetch, error) {
	if k.inflight != nil {
		return k.inflight, nil
	}
	pause := k.MinRefresh
	if pause <= 0 {
		pause = defaultKeyMinRefresh
	}
	if k.failures > 0 && k.usable(now) == nil {
		retry := firstRetry << min(k.failures-1, 16) // at most 18 hours, which cannot overflow
		pause = min(pause, retry)
	}
	since := now.Sub(k.started)
	if since < pause && k.lastErr != nil {
		return nil, k.lastErr
	}
	if since < pause {
		return nil, fmt.Errorf("the last fetch was %v ago, and there is at most one per %v",
			since.Round(time.Second), pause)
	}
	f := &keyFetch{done: make(chan struct{})}
	k.inflight, k.started = f, now
	go k.run(f)
	return f, nil
}

// run fetches the keys, whatever becomes of the deliveries that wait for them.
func (k *KeySet) run(f *keyFetch) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	keys, maxAge, err := k.download(ctx)

	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.inflight, k.lastErr = nil, err
	if err != nil {
		k.failures++
	} else {
		k.failures = 0
		k.cached, k.fetched = &cachedKeys{keys: keys}, now
		k.due = now.Add(maxAge)
	}
	f.keys, f.err = k.usable(now), err
}

// usable returns the cached keys unless they are too old. The caller holds the
// lock.
func (k *KeySet) usable(now time.Time) *cachedKeys {
	if now.Sub(k.fetched) > maxKeyAge {
		return nil
	}
	return k.cached
}

// now returns the time. If the clock was set back, the keys keep their age, and the
// next fetch is due and may start at once. The caller holds the lock.
func (k *KeySet) now() time.Time {
	now := clock(k.Now)
	if now.Before(k.lastNow) {
		k.fetched = k.fetched.Add(now.Sub(k.lastNow))
		k.due, k.started = time.Time{}, time.Time{}
	}
	k.lastNow = now
	return now
}

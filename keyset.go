package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// GoogleKeySetURL is where Google publishes the keys of dynamic webhooks, as a
// JWK Set (RFC 7517).
const GoogleKeySetURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"

// The defaults of [KeySet].
const (
	defaultKeyMaxAge     = time.Hour   // if the key server's response has no Cache-Control max-age
	defaultKeyMinRefresh = time.Minute // between two fetches
)

const (
	maxKeySet    = 1 << 20          // bytes
	keysServe    = 24 * time.Hour   // after they were fetched
	fetchTimeout = 10 * time.Second // for the whole fetch
	firstRetry   = time.Second      // after a failed fetch while there are no keys
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
// fetch is limited to 10 seconds and 1 MiB.
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
	// as 1 minute. The first of these directives decides. Zero means
	// defaultKeyMaxAge.
	MaxAge time.Duration
	// MinRefresh is the minimum time from one fetch to the next. It must not be
	// negative. Zero means defaultKeyMinRefresh.
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
	cached   *cachedKeys // from the last successful fetch
	inflight *fetch      // the running one
	started  time.Time   // when the last fetch started
	failures int         // fetches that have failed since the last success
	failed   error       // from the last fetch
}

// cachedKeys is a fetched key set. It does not change once it is cached.
type cachedKeys struct {
	keys    []namedKey
	maxAge  time.Duration
	fetched time.Time
}

// match returns the name of the key that made one of the signatures.
func (c *cachedKeys) match(m *signed) (name string, ok bool) {
	i := slices.IndexFunc(c.keys, func(key namedKey) bool { return m.matches(key.PublicKey) })
	if i < 0 {
		return "", false
	}
	return c.keys[i].name, true
}

// fetch is a fetch that any number of deliveries wait for.
type fetch struct {
	done chan struct{}
	keys *cachedKeys // usable after the fetch, or nil
	err  error
}

func (f *fetch) wait(ctx context.Context) (*cachedKeys, error) {
	select {
	case <-f.done:
		return f.keys, f.err
	case <-ctx.Done():
		return nil, ctx.Err() // the fetch goes on for the others
	}
}

// Verify implements [Verifier]. The KeyName of its Proof is the key's "kid" or, as
// Google's keys have none, its RFC 7638 thumbprint.
func (k *KeySet) Verify(ctx context.Context, header http.Header, body []byte) (Proof, error) {
	if k == nil {
		return (&Ed25519{}).Verify(ctx, header, body)
	}
	var d delivery
	if err := d.check(header, k.Now, k.Tolerance); err != nil {
		return Proof{}, err
	}
	// Without keys, the error is ErrUnavailable: a mismatch means that there are some.
	mismatch := &mismatchError{scheme: SchemeEd25519, found: d.found, meant: d.found.ed25519 > 0, keys: 1}
	m := d.signed(body)
	if len(m.signatures) == 0 {
		return Proof{}, mismatch
	}
	keys, refresh := k.load(false)
	if keys != nil {
		if name, ok := keys.match(&m); ok {
			return Proof{Scheme: SchemeEd25519, KeyName: name}, nil
		}
		_, refresh = k.load(true) // the keys may have been rotated
	}
	newer, err := refresh.wait(ctx)
	if newer == nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if newer != keys {
		if name, ok := newer.match(&m); ok {
			return Proof{Scheme: SchemeEd25519, KeyName: name}, nil
		}
	}
	mismatch.refresh = err
	return Proof{}, mismatch
}

// load returns the keys that may be used and, if they are missing, no longer fresh
// or did not match, the fetch that will replace them.
func (k *KeySet) load(mismatch bool) (*cachedKeys, *fetch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := clock(k.Now)
	keys := k.usable(now)
	if keys != nil && !mismatch && now.Sub(keys.fetched) < keys.maxAge {
		return keys, nil
	}
	return keys, k.start(now)
}

// start returns the running fetch or starts one. If it is too early for that,
// it returns one that has already ended. The caller holds the lock.
func (k *KeySet) start(now time.Time) *fetch {
	if k.inflight != nil {
		return k.inflight
	}
	f := &fetch{done: make(chan struct{})}
	pause := cmp.Or(k.MinRefresh, defaultKeyMinRefresh)
	keys := k.usable(now)
	if keys == nil && k.failures > 0 {
		pause = min(pause, firstRetry<<min(k.failures-1, 16)) // at most 18 hours, which cannot overflow
	}
	since := now.Sub(k.started) // very long before the first, negative if the clock was set back
	if since >= 0 && since < pause {
		early := fmt.Errorf("the last fetch was %v ago, and there is at most one per %v", since.Round(time.Second), pause)
		f.keys, f.err = keys, cmp.Or(k.failed, early)
		close(f.done)
		return f
	}
	k.inflight, k.started = f, now
	go k.run(f)
	return f
}

// run fetches the keys, whatever becomes of the deliveries that wait for them.
func (k *KeySet) run(f *fetch) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	keys, err := k.fetch(ctx)

	k.mu.Lock()
	defer k.mu.Unlock()
	k.inflight, k.failed = nil, err
	k.failures++
	if err == nil {
		keys.fetched = clock(k.Now)
		k.cached, k.failures = keys, 0
	}
	f.keys, f.err = k.usable(clock(k.Now)), err
}

// usable returns the cached keys unless they are too old. The caller holds the
// lock.
func (k *KeySet) usable(now time.Time) *cachedKeys {
	if k.cached == nil || now.Sub(k.cached.fetched) > keysServe {
		return nil
	}
	return k.cached
}

// fetch fetches the keys and logs how it went.
func (k *KeySet) fetch(ctx context.Context) (*cachedKeys, error) {
	logger := cmp.Or(k.Logger, slog.Default())
	keys, unusable, err := k.get(ctx)
	for _, reason := range unusable {
		logger.WarnContext(ctx, "gemini webhook key cannot be used", "reason", reason)
	}
	if err != nil {
		logger.ErrorContext(ctx, "gemini webhook keys were not fetched", "reason", err.Error())
		return nil, err
	}
	logger.InfoContext(ctx, "gemini webhook keys were fetched", "keys", len(keys.keys), "max_age", keys.maxAge)
	return keys, nil
}

func (k *KeySet) get(ctx context.Context) (*cachedKeys, []string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cmp.Or(k.URL, GoogleKeySetURL), nil)
	if err == nil {
		err = checkURL(req.URL)
	}
	if err != nil {
		return nil, nil, err
	}
	client := *cmp.Or(k.Client, http.DefaultClient)
	client.CheckRedirect = checkRedirect
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("the key server responded with %s", resp.Status)
	case err != nil:
		return nil, nil, fmt.Errorf("the key set could not be read: %w", err)
	case len(body) > maxKeySet:
		return nil, nil, fmt.Errorf("the key set is longer than %d bytes", maxKeySet)
	}
	keys, unusable, err := parseKeySet(body)
	return &cachedKeys{keys: keys, maxAge: k.maxAge(resp.Header)}, unusable, err
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Scheme != via[0].URL.Scheme {
		return errors.New("the key server redirects more than three times, or to another scheme")
	}
	return checkURL(req.URL)
}

func checkURL(u *url.URL) error {
	host := u.Hostname()
	loopback := host == "localhost" || net.ParseIP(host).IsLoopback()
	if host != "" && u.Scheme == "https" || loopback && u.Scheme == "http" {
		return nil
	}
	return errors.New("keys are fetched over https only, except from loopback addresses")
}

// maxAge returns how long the keys of a response are fresh.
func (k *KeySet) maxAge(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.ToLower(header.Get("Cache-Control")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return time.Minute
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 63)
			if err == nil || errors.Is(err, strconv.ErrRange) {
				return time.Duration(min(max(seconds, 60), 24*60*60)) * time.Second
			}
		}
	}
	return cmp.Or(k.MaxAge, defaultKeyMaxAge)
}

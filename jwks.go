package geminihook

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxKeySet = 1 << 20 // bytes
	maxKeys   = 16      // usable keys that are kept; Google has three
)

// keyring is one fetched set. Only last changes after the fetch.
type keyring struct {
	keys    []namedKey
	last    atomic.Int32 // the key that matched last, which is tried first
	maxAge  time.Duration
	fetched time.Time
	due     time.Time
}

type namedKey struct {
	ed25519.PublicKey
	name string
}

// match returns the name of the key that made one of the signatures. Keys that
// the older set has, too, are not tried again.
func (r *keyring) match(m *signed, older *keyring) (name string, ok bool) {
	if r == older {
		return "", false
	}
	first := int(r.last.Load())
	for i := range r.keys {
		i = (first + i) % len(r.keys)
		if key := r.keys[i]; !older.has(key) && m.matches(key.PublicKey) {
			r.last.Store(int32(i))
			return key.name, true
		}
	}
	return "", false
}

func (r *keyring) has(key namedKey) bool {
	if r == nil {
		return false
	}
	for _, k := range r.keys {
		if k.Equal(key.PublicKey) {
			return true
		}
	}
	return false
}

// fetch fetches the set and logs how it went.
func (k *KeySet) fetch(ctx context.Context) (*keyring, error) {
	ring, unusable, err := k.get(ctx)
	logger := k.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	for _, reason := range unusable {
		logger.LogAttrs(ctx, slog.LevelWarn, "gemini webhook key is not usable", slog.String("reason", reason))
	}
	if err != nil {
		logger.LogAttrs(ctx, slog.LevelError, "gemini webhook keys were not fetched", slog.String("reason", err.Error()))
		return nil, err
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "gemini webhook keys were fetched",
		slog.Int("keys", len(ring.keys)), slog.Duration("max_age", ring.maxAge))
	return ring, nil
}

func (k *KeySet) get(ctx context.Context) (ring *keyring, unusable []string, err error) {
	target, err := url.Parse(cmp.Or(k.URL, GoogleKeySetURL))
	if err != nil {
		return nil, nil, errors.New("KeySet.URL is not a URL")
	}
	if err := checkURL(target); err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := k.client().Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the key server answered %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, nil, fmt.Errorf("the key set was not read: %w", err)
	}
	if len(body) > maxKeySet {
		return nil, nil, fmt.Errorf("the key set is longer than %d bytes", maxKeySet)
	}
	keys, unusable, err := parseKeySet(body)
	if err != nil {
		return nil, unusable, err
	}
	return &keyring{keys: keys, maxAge: k.maxAge(resp.Header)}, unusable, nil
}

// client is the program's, but follows no redirect to where KeySet.URL could
// not point.
func (k *KeySet) client() *http.Client {
	client := http.Client{}
	if k.Client != nil {
		client = *k.Client
	}
	own := client.CheckRedirect
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if err := checkURL(req.URL); err != nil {
			return err
		}
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return errInsecure
		}
		switch {
		case own != nil:
			return own(req, via)
		case len(via) >= 3:
			return errors.New("the key server redirects more than 3 times")
		}
		return nil
	}
	return &client
}

var errInsecure = errors.New("keys are fetched over https only, but for a loopback address")

func checkURL(u *url.URL) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	switch {
	case u.Scheme == "https" && host != "":
		return nil
	case u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback()):
		return nil
	}
	return errInsecure
}

// maxAge is how long the keys are fresh.
func (k *KeySet) maxAge(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(header.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
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
	return cmp.Or(k.MaxAge, DefaultKeyMaxAge)
}

// parseKeySet returns the Ed25519 keys of a JWK Set (RFC 7517, RFC 8037), and
// why others are not used. None at all is an error.
func parseKeySet(body []byte) (keys []namedKey, unusable []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, nil, errors.New(`the key set is not JSON with a list "keys"`)
	}
	for i, text := range set.Keys {
		if len(keys) == maxKeys || len(unusable) == maxKeys {
			unusable = append(unusable, fmt.Sprintf("only %d keys are looked at", i))
			break
		}
		key, err := parseKey(text)
		if err != nil {
			unusable = append(unusable, fmt.Sprintf("key %d of %d: %v", i+1, len(set.Keys), err))
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, unusable, errors.New("the key set has no usable Ed25519 key")
	}
	return keys, unusable, nil
}

func parseKey(text json.RawMessage) (namedKey, error) {
	var jwk struct{ Kty, Crv, X, Use, Alg, Kid string }
	if json.Unmarshal(text, &jwk) != nil {
		return namedKey{}, errors.New("not a JWK")
	}
	key, err := base64.RawURLEncoding.DecodeString(jwk.X)
	switch {
	case jwk.Kty != "OKP" || jwk.Crv != "Ed25519":
		return namedKey{}, errors.New(`not of "kty" OKP and "crv" Ed25519`)
	case jwk.Use != "" && jwk.Use != "sig":
		return namedKey{}, errors.New(`its "use" is not "sig"`)
	case jwk.Alg != "" && jwk.Alg != "EdDSA" && jwk.Alg != "Ed25519":
		return namedKey{}, errors.New(`its "alg" is not for Ed25519`)
	case err != nil:
		return namedKey{}, errors.New(`its "x" is not base64url without padding`)
	case len(key) != ed25519.PublicKeySize:
		return namedKey{}, fmt.Errorf(`its "x" has %d bytes, an Ed25519 key has %d`, len(key), ed25519.PublicKeySize)
	case !usableKey(key):
		return namedKey{}, errors.New("it is all zeros")
	}
	name := jwk.Kid
	if !validID(name) {
		name = thumbprint(key)
	}
	return namedKey{key, name}, nil
}

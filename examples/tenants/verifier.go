package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
)

// A Source knows the signing secrets of the tenants. The error is
// [ErrUnknownTenant] if there is no such tenant. Any other error means that the
// look-up failed. It must be safe for concurrent use.
type Source interface {
	Secrets(ctx context.Context, tenant string) ([]string, error)
}

// ErrUnknownTenant is a [Source]'s error for a tenant that does not exist.
var ErrUnknownTenant = errors.New("unknown tenant")

// cacheFor is how long a tenant's secrets are used before they are looked up
// again. It may be much longer if Google's grace period of 24 hours is used when
// a secret is rotated.
const cacheFor = time.Minute

// lookUpTimeout bounds one look-up. Google waits for a few seconds only.
const lookUpTimeout = 3 * time.Second

type tenantContextKey struct{}

func withTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantContextKey{}, tenant)
}

func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantContextKey{}).(string)
	return tenant
}

// tenantKey is the Endpoint's Key. It includes the tenant, so that a tenant that signs
// the webhook-id of another tenant's event does not take the key of that event.
func tenantKey(ctx context.Context, ev *geminihook.Event) (string, error) {
	return url.PathEscape(tenantOf(ctx)) + "/" + ev.Proof.Scheme + ":" + ev.ID, nil
}

// verifier verifies a delivery with the secrets of the tenant in the context.
type verifier struct {
	source Source
	now    func() time.Time // nil means time.Now

	mu     sync.Mutex
	cached map[string]cachedHMAC // known tenants only, so that strangers cannot fill it
}

type cachedHMAC struct {
	*geminihook.HMAC
	until time.Time
}

// Verify implements [geminihook.Verifier]. An unknown tenant is refused like a
// wrong signature: the sender cannot tell which tenants exist. If the look-up
// fails, the response is 503, and Google sends the delivery again.
func (v *verifier) Verify(
	ctx context.Context, header http.Header, body []byte,
) (geminihook.Proof, error) {
	tenant := tenantOf(ctx)
	hmac, err := v.lookUp(ctx, tenant)
	if errors.Is(err, ErrUnknownTenant) {
		err = fmt.Errorf("%w: tenant %q is unknown", geminihook.ErrSignature, tenant)
		return geminihook.Proof{}, err
	}
	if err != nil {
		return geminihook.Proof{}, fmt.Errorf("the secrets of tenant %q: %w", tenant, err)
	}
	proof, err := hmac.Verify(ctx, header, body)
	if err != nil {
		return geminihook.Proof{}, err
	}
	proof.KeyName = tenant + "/" + proof.KeyName // so that the log names the tenant
	return proof, nil
}

func (v *verifier) lookUp(ctx context.Context, tenant string) (*geminihook.HMAC, error) {
	now := time.Now()
	if v.now != nil {
		now = v.now()
	}
	v.mu.Lock()
	entry := v.cached[tenant]
	v.mu.Unlock()
	if now.Before(entry.until) {
		return entry.HMAC, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	secrets, err := v.source.Secrets(ctx, tenant)
	if err != nil {
		return nil, err
	}
	hmac, err := geminihook.NewHMAC(secrets...)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cached == nil {
		v.cached = make(map[string]cachedHMAC)
	}
	v.cached[tenant] = cachedHMAC{HMAC: hmac, until: now.Add(cacheFor)}
	return hmac, nil
}

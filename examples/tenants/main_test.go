package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counting is a Source that counts look-ups and can fail.
type counting struct {
	memory
	mu      sync.Mutex
	err     error
	lookups int
}

func (c *counting) Secrets(ctx context.Context, tenant string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookups++
	if c.err != nil {
		return nil, c.err
	}
	return c.memory.Secrets(ctx, tenant)
}

// program is the example's server with two tenants.
type program struct {
	*counting
	url          string
	acme, globex webhooktest.Signer

	mu   sync.Mutex
	runs []string // of the function: "<tenant> <webhook-id>"
}

func start(t *testing.T) *program {
	acme, globex := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	p := &program{counting: &counting{memory: memory{"acme": {acme}, "globex": {globex}}}}
	p.acme, p.globex = webhooktest.Static(acme), webhooktest.Static(globex)
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.runs = append(p.runs, tenantOf(ctx)+" "+ev.ID)
		return nil
	}
	srv := httptest.NewServer(routes(p.counting, handle))
	t.Cleanup(srv.Close)
	p.url = srv.URL + "/hooks/"
	return p
}

func (p *program) deliver(t *testing.T, tenant string, d *webhooktest.Delivery) int {
	t.Helper()
	status, err := deliver(p.url+tenant, d)
	require.NoError(t, err)
	return status
}

func (p *program) ran() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs
}

// TestRun plays the demonstration.
func TestRun(t *testing.T) { require.NoError(t, run()) }

// TestAttack has tenant globex sign the webhook-id of acme's event, before and
// after that arrives, at both URLs.
func TestAttack(t *testing.T) {
	for _, tt := range []struct {
		name, tenant string
		status       int
	}{
		{"at its own URL", "globex", http.StatusOK},
		{"at acme's URL", "acme", http.StatusBadRequest},
		{"at a path that decodes to acme's key", "globex%2F..%2Facme", http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t)
			genuine := webhooktest.New(geminihook.EventBatchSucceeded, p.acme)
			forged := genuine.Clone().Sign(time.Now(), p.globex)
			assert.Equal(t, tt.status, p.deliver(t, tt.tenant, forged))
			assert.Equal(t, http.StatusOK, p.deliver(t, "acme", genuine))
			assert.Contains(t, p.ran(), "acme "+genuine.ID())
			before := p.ran()
			assert.Equal(t, http.StatusOK, p.deliver(t, "acme", genuine))
			assert.Equal(t, before, p.ran(), "a duplicate runs nothing")
		})
	}
}

func TestUnknownTenant(t *testing.T) {
	p := start(t)
	assert.Equal(t, http.StatusBadRequest,
		p.deliver(t, "initech", webhooktest.New(geminihook.EventBatchSucceeded, p.acme)))
	assert.Empty(t, p.ran())
}

// TestSourceFails checks that a failed look-up is never taken for a forgery.
func TestSourceFails(t *testing.T) {
	p := start(t)
	p.err = errors.New("the database is down")
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, p.acme)
	assert.Equal(t, http.StatusServiceUnavailable, p.deliver(t, "acme", genuine))
	p.counting.mu.Lock()
	p.err = nil
	p.counting.mu.Unlock()
	assert.Equal(t, http.StatusOK, p.deliver(t, "acme", genuine))
}

// TestCache checks that secrets are looked up once per minute, and that a
// rotated secret is then found.
func TestCache(t *testing.T) {
	now := time.Now()
	source := &counting{memory: memory{"acme": {webhooktest.RandomSecret()}}}
	v := &verifier{source: source, now: func() time.Time { return now }}
	ctx := withTenant(t.Context(), "acme")
	verify := func() error {
		d := webhooktest.New(geminihook.EventBatchSucceeded,
			webhooktest.Static(source.memory["acme"][0]))
		proof, err := v.Verify(ctx, d.Header, d.Body)
		if err == nil {
			assert.Contains(t, proof.KeyName, "acme/whsec_...")
		}
		return err
	}
	require.NoError(t, verify())
	require.NoError(t, verify())
	assert.Equal(t, 1, source.lookups)
	source.memory["acme"] = []string{webhooktest.RandomSecret()}
	require.ErrorIs(t, verify(), geminihook.ErrSignature)
	now = now.Add(cacheFor)
	require.NoError(t, verify())
	assert.Equal(t, 2, source.lookups)
}

// TestRotation rotates a secret as docs/tenants.md says. At no time is a delivery
// refused, whether the cache knows the new secret or not.
func TestRotation(t *testing.T) {
	now := time.Now()
	old, fresh := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	source := &counting{memory: memory{"acme": {old}}}
	v := &verifier{source: source, now: func() time.Time { return now }}
	verify := func(d *webhooktest.Delivery) error {
		_, err := v.Verify(withTenant(t.Context(), "acme"), d.Header, d.Body)
		return err
	}
	event := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(old))
	// In its grace period, Google signs with both secrets.
	both := event.Rotated(webhooktest.Static(old), webhooktest.Static(fresh))
	require.NoError(t, verify(event))
	source.memory["acme"] = []string{fresh, old}
	require.NoError(t, verify(both), "the cache has the old secret alone")
	now = now.Add(cacheFor)
	require.NoError(t, verify(both))
	source.memory["acme"] = []string{fresh}
	now = now.Add(cacheFor)
	require.NoError(t, verify(both))
	require.NoError(t, verify(event.Clone().Sign(time.Now(), webhooktest.Static(fresh))))
	require.ErrorIs(t, verify(event), geminihook.ErrSignature)
}

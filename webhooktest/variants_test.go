package webhooktest_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVariants(t *testing.T) {
	v, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	good := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	old := webhooktest.Static(webhooktest.RandomSecret())
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		want     error
	}{
		{"good", good, nil},
		{"clone", good.Clone(), nil},
		{"rotated", good.Rotated(old, signer), nil},
		{"oversized", good.Oversized(1 << 10), nil},
		{"tampered", good.Tampered(), geminihook.ErrSignature},
		{"tampered and empty", webhooktest.NewBody(nil, signer).Tampered(), geminihook.ErrSignature},
		{"stale", good.Stale(), geminihook.ErrTimestamp},
		{"future", good.Future(), geminihook.ErrTimestamp},
		{"wrong secret", good.WrongSecret(), geminihook.ErrSignature},
		{"tampered and signed", good.Tampered().Sign(time.Now()), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			require.ErrorIs(t, err, tt.want)
			_, err = v.Verify(t.Context(), good.Header, good.Body)
			require.NoError(t, err, "the original is unchanged")
		})
	}
	assert.Len(t, good.Oversized(1<<10).Body, 1<<10+1)
	const form = `^msg_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	assert.Regexp(t, form, webhooktest.NewID())
}

// TestVariantsOfDynamic checks that the variants of a dynamic delivery are
// dynamic, too.
func TestVariantsOfDynamic(t *testing.T) {
	key := webhooktest.Key(1)
	good := webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Dynamic(key))
	v := &geminihook.Ed25519{Keys: []ed25519.PublicKey{webhooktest.Public(key)}}
	for name, tt := range map[string]struct {
		delivery *webhooktest.Delivery
		want     error
	}{
		"stale":        {good.Stale(), geminihook.ErrTimestamp},
		"wrong secret": {good.WrongSecret(), geminihook.ErrSignature},
		"oversized":    {good.Oversized(1 << 10), nil},
	} {
		_, err := v.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
		require.ErrorIs(t, err, tt.want, name)
		assert.True(t, strings.HasPrefix(tt.delivery.Header.Get("webhook-signature"), "v1a,"), name)
	}
}

// TestVariantsWithoutSigners checks that a variant that would be refused for
// another fault than its own fails loudly.
func TestVariantsWithoutSigners(t *testing.T) {
	unsigned := webhooktest.New(geminihook.EventBatchSucceeded)
	for name, call := range map[string]func(){
		"Tampered":    func() { unsigned.Tampered() },
		"Stale":       func() { unsigned.Stale() },
		"Future":      func() { unsigned.Future() },
		"WrongSecret": func() { unsigned.WrongSecret() },
		"Oversized":   func() { unsigned.Oversized(1) },
	} {
		func() {
			defer func() {
				assert.Contains(t, recover(), "webhooktest: "+name+": the delivery ")
			}()
			call()
		}()
	}
}

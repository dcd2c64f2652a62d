package webhooktest_test

import (
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVariants(t *testing.T) {
	v, err := geminihook.NewHMAC(webhooktest.Secret)
	require.NoError(t, err)
	good := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	old := webhooktest.Static(webhooktest.NewSecret())
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		want     error
	}{
		{"good", good, nil},
		{"clone", good.Clone(), nil},
		{"rotated", good.Rotated(old, signer), nil},
		{"oversized", good.Oversized(1<<10, signer), nil},
		{"tampered", good.Tampered(), geminihook.ErrSignature},
		{"tampered and empty", webhooktest.NewBody(nil, signer).Tampered(), geminihook.ErrSignature},
		{"stale", good.Stale(signer), geminihook.ErrTimestamp},
		{"future", good.Future(signer), geminihook.ErrTimestamp},
		{"wrong secret", good.WrongSecret(), geminihook.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			require.ErrorIs(t, err, tt.want)
			_, err = v.Verify(t.Context(), good.Header, good.Body)
			require.NoError(t, err, "the original is unchanged")
		})
	}
	assert.Len(t, good.Oversized(1<<10, signer).Body, 1<<10+1)
	assert.Regexp(t, `^msg_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, webhooktest.NewID())
}

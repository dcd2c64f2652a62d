package migrate_test

import (
	"context"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/migrate"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFromPage: each type has its case, and each event is handled once.
func TestFromPage(t *testing.T) {
	var calls []string
	note := func(name string) migrate.Work {
		return func(context.Context, string, string) error {
			calls = append(calls, name)
			return nil
		}
	}
	handler, err := migrate.FromPage(webhooktest.TestSecret, note("download"), note("report"))
	require.NoError(t, err)
	signer := webhooktest.Static(webhooktest.TestSecret)
	for _, typ := range []geminihook.EventType{
		geminihook.EventBatchSucceeded, geminihook.EventBatchFailed, "batch.paused",
	} {
		d := webhooktest.New(typ, signer)
		assert.Equal(t, 200, webhooktest.Post(handler, d), typ)
		assert.Equal(t, 200, webhooktest.Post(handler, d), "a duplicate of %s", typ)
		assert.Equal(t, 400, webhooktest.Post(handler, d.WrongSecret()), "a forged %s", typ)
	}
	assert.Equal(t, []string{"download", "report"}, calls)
}

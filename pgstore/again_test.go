package pgstore_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRunAgain: the statement in the README removes the mark of an event that was
// dropped, so that it runs once more, and does not touch one that is running.
func TestRunAgain(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	statement := string(regexp.MustCompile(`(?m)^DELETE .*$`).Find(readme))
	guide, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	require.Contains(t, string(guide), "`"+statement+"`")

	store, pool := open(t)
	remove := func(key string) int64 {
		t.Helper()
		tag, err := pool.Exec(t.Context(), strings.ReplaceAll(statement, "<key>", key))
		require.NoError(t, err)
		return tag.RowsAffected()
	}
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	for name, endpoint := range map[string]*geminihook.Endpoint{
		"store": {Store: store}, "transactor": {Transactor: store},
	} {
		t.Run(name, func(t *testing.T) {
			var results []geminihook.Result
			endpoint.Verifier, endpoint.Logger = verifier, slog.New(slog.DiscardHandler)
			endpoint.Observe = func(_ context.Context, o geminihook.Outcome) {
				results = append(results, o.Result)
			}
			failure := geminihook.Permanent(errors.New("no such order"))
			fn := func(context.Context, *geminihook.Event) error { return failure }
			signer := webhooktest.Static(webhooktest.TestSecret)
			d := webhooktest.New(geminihook.EventBatchSucceeded)
			deliver := func() {
				status := webhooktest.Post(endpoint.Handler(fn), d.Sign(time.Now(), signer))
				assert.Equal(t, 200, status)
			}
			deliver()
			failure = nil
			deliver()
			assert.EqualValues(t, 1, remove("v1:"+d.ID()))
			deliver()
			deliver()
			assert.Equal(t, []geminihook.Result{
				geminihook.Dropped, geminihook.Duplicate,
				geminihook.Processed, geminihook.Duplicate,
			}, results)
		})
	}
	token := acquire(t, store, "v1:msg_1", time.Minute, time.Hour)
	assert.Zero(t, remove("v1:msg_1"), "in progress")
	require.NoError(t, store.Release(t.Context(), "v1:msg_1", token))
	assert.Zero(t, remove("v1:msg_1"), "released")
}

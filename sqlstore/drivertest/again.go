package drivertest

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

// testRunAgain: the statement in the README removes the mark of an event that was
// dropped, so that it runs once more, and does not touch one that is running.
func (b Backend) testRunAgain(t *testing.T) {
	statement := b.statementToRunAgain(t)
	h := b.handles()
	store := h.first(t)
	remove := func(key string) int64 {
		t.Helper()
		query := strings.ReplaceAll(statement, "<key>", key)
		result, err := h.db.ExecContext(t.Context(), query)
		require.NoError(t, err)
		n, err := result.RowsAffected()
		require.NoError(t, err)
		return n
	}
	for _, endpoint := range []*geminihook.Endpoint{{Store: store}, {Transactor: store}} {
		d := webhooktest.New(geminihook.EventBatchSucceeded)
		first := deliverTwice(t, endpoint, d, geminihook.Permanent(errors.New("no such order")))
		assert.Equal(t, []geminihook.Result{geminihook.Dropped, geminihook.Duplicate}, first)
		assert.EqualValues(t, 1, remove("v1:"+d.ID()))
		again := deliverTwice(t, endpoint, d, nil)
		assert.Equal(t, []geminihook.Result{geminihook.Processed, geminihook.Duplicate}, again)
	}
	_, err := store.Claim(t.Context(), "v1:msg_1", "token", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Zero(t, remove("v1:msg_1"), "in progress")
	require.NoError(t, store.Release(t.Context(), "v1:msg_1", "token"))
	assert.Zero(t, remove("v1:msg_1"), "released")
}

// statementToRunAgain returns the statement that the README and the guide have for the
// dialect.
func (b Backend) statementToRunAgain(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	pattern := regexp.MustCompile(`(?m)^(DELETE .*;) *-- ` + b.Dialect.String() + "$")
	found := pattern.FindSubmatch(readme)
	require.NotNil(t, found)
	statement := string(found[1])
	guide, err := os.ReadFile("../../../docs/operations.md")
	require.NoError(t, err)
	require.Contains(t, string(guide), "`"+statement+"`")
	return statement
}

// deliverTwice delivers an event twice to a function that returns the error.
func deliverTwice(
	t *testing.T, endpoint *geminihook.Endpoint, d *webhooktest.Delivery, failure error,
) (results []geminihook.Result) {
	t.Helper()
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	endpoint.Verifier, endpoint.Logger = verifier, slog.New(slog.DiscardHandler)
	endpoint.Observe = func(_ context.Context, o geminihook.Outcome) {
		results = append(results, o.Result)
	}
	fn := func(context.Context, *geminihook.Event) error { return failure }
	for range 2 {
		d.Sign(time.Now(), webhooktest.Static(webhooktest.TestSecret))
		assert.Equal(t, 200, webhooktest.Post(endpoint.Handler(fn), d))
	}
	return results
}

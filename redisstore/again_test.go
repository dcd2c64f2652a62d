package redisstore_test

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
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRunAgain: the command in the README removes the mark of an event that was
// dropped, so that it runs once more.
func TestRunAgain(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	command := string(regexp.MustCompile(`(?m)^DEL .*$`).Find(readme))
	guide, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	require.Contains(t, string(guide), "`"+command+"`")

	c := client(t, server.Redis(t).URL)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	var results []geminihook.Result
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Store: redisstore.New(c), Logger: slog.New(slog.DiscardHandler),
		Observe: func(_ context.Context, o geminihook.Outcome) {
			results = append(results, o.Result)
		},
	}
	failure := geminihook.Permanent(errors.New("no such order"))
	fn := func(context.Context, *geminihook.Event) error { return failure }
	signer := webhooktest.Static(webhooktest.TestSecret)
	d := webhooktest.New(geminihook.EventBatchSucceeded)
	deliver := func() {
		assert.Equal(t, 200, webhooktest.Post(endpoint.Handler(fn), d.Sign(time.Now(), signer)))
	}
	deliver()
	failure = nil
	deliver()
	var args []any
	for _, word := range strings.Fields(strings.ReplaceAll(command, "<key>", "v1:"+d.ID())) {
		args = append(args, word)
	}
	removed, err := c.Do(t.Context(), args...).Int()
	require.NoError(t, err)
	assert.Equal(t, 1, removed)
	deliver()
	deliver()
	assert.Equal(t, []geminihook.Result{
		geminihook.Dropped, geminihook.Duplicate, geminihook.Processed, geminihook.Duplicate,
	}, results)
}

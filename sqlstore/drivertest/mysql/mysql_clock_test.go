package mysql_test

import (
	"context"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTimestamp: a function that sets the session's clock does not commit a mark that has
// expired already, and the next user of the connection has the right time.
func TestTimestamp(t *testing.T) {
	store, db := open(t)
	db.SetMaxOpenConns(1)
	_, err := store.Transact(t.Context(), "msg_1", time.Hour, func(ctx context.Context) error {
		return execInTx(ctx, "SET timestamp = 1600000000")
	})
	require.ErrorContains(t, err, "the function set the session's timestamp")
	claim, err := store.Claim(t.Context(), "msg_1", "a", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, claim.State)
	claim, err = store.Claim(t.Context(), "msg_1", "b", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.InProgress, claim.State, "the lease has not ended")
}

package pgstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/pgstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil string // USERNAME and NAMESPACE are replaced
		want  string
	}{
		{"all is well", "SELECT 1", ""},
		{"read-only", "ALTER ROLE USERNAME SET default_transaction_read_only = on", "read-only"},
		{"no table", "DROP TABLE geminihook_deliveries", "call Migrate"},
		{"no INSERT", "REVOKE INSERT ON geminihook_deliveries FROM USERNAME", "grant SELECT, INSERT"},
		{"no UPDATE", "REVOKE UPDATE ON geminihook_deliveries FROM USERNAME", "grant SELECT, INSERT"},
		{"no SELECT", "REVOKE SELECT ON geminihook_deliveries FROM USERNAME", "grant SELECT, INSERT"},
		{"no DELETE", "REVOKE DELETE ON geminihook_deliveries FROM USERNAME", "grant SELECT, INSERT"},
		{"no schema", "REVOKE USAGE ON SCHEMA NAMESPACE FROM USERNAME", "grant SELECT, INSERT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			owner, pool := open(t)
			require.NoError(t, owner.Check(t.Context()))
			user, role := withRole(t, pool)
			schema := pool.Config().ConnConfig.RuntimeParams["search_path"]
			warm := pgstore.New(user)
			warm.Schema = schema
			require.NoError(t, warm.Check(t.Context()))
			names := strings.NewReplacer("USERNAME", role, "NAMESPACE", schema)
			run(t, pool, names.Replace(tt.spoil))
			user.Reset() // a role's settings are those of new sessions
			if tt.want == "" {
				require.NoError(t, warm.Check(t.Context()))
				assert.Zero(t, rows(t, pool), "it leaves nothing behind")
				return
			}
			require.ErrorContains(t, warm.Check(t.Context()), tt.want)
			require.Error(t, pgstore.New(user).Check(t.Context()))
			_, claimErr := warm.Claim(t.Context(), "msg_1", "token", time.Hour, time.Hour)
			completeErr := warm.Complete(t.Context(), "msg_1", "token", time.Hour)
			_, purgeErr := warm.Purge(t.Context(), 0)
			require.Error(t, errors.Join(claimErr, completeErr, purgeErr), "it is true")
		})
	}
}

// TestCheckWithoutPurge: whoever removes expired rows with another role needs no
// right to do so here.
func TestCheckWithoutPurge(t *testing.T) {
	_, pool := open(t)
	user, role := withRole(t, pool)
	run(t, pool, "REVOKE DELETE ON geminihook_deliveries FROM "+role)
	store := pgstore.New(user)
	store.PurgeInterval = -1
	require.NoError(t, store.Check(t.Context()))
}

func TestCheckCannotConnect(t *testing.T) {
	require.Error(t, gone(t).Check(t.Context()))
	store, pool := open(t, maxConns(1))
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, store.Check(ctx), "all 1 of which are in use")
}

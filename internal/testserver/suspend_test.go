//go:build linux

package testserver_test

import (
	"context"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSuspend(t *testing.T) {
	server := testserver.NewPostgres(t)
	ids, err := server.Processes()
	require.NoError(t, err)
	assert.Greater(t, len(ids), 1, "PostgreSQL has processes in the background")

	resume, err := server.Suspend()
	require.NoError(t, err)
	t.Cleanup(resume)
	conn, err := net.Dial("tcp", server.Addr)
	require.NoError(t, err, "the system accepts for it")
	require.NoError(t, conn.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	ask := exec.CommandContext(ctx, "psql", "--no-psqlrc", "-c", "select", server.URL)
	require.Error(t, ask.Run())
	require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded, "nobody replies")

	resume()
	assert.Equal(t, "1", psql(t, server, "select 1"))
	require.NoError(t, server.Kill())
	_, err = server.Suspend()
	require.ErrorContains(t, err, "not running")
	_, err = new(testserver.Server).Processes()
	require.ErrorContains(t, err, "start your own")
}

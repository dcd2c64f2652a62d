package testserver_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echo sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func trip(conn net.Conn, text string) (string, error) {
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	b := make([]byte, len(text))
	_, err := io.ReadFull(conn, b)
	return string(b), err
}

func TestProxyAndRoundTrips(t *testing.T) {
	proxy := testserver.NewProxy(t, echo(t))
	var trips testserver.RoundTrips
	conn, err := trips.Dial(t.Context(), "tcp", proxy.Addr)
	require.NoError(t, err)
	for range 3 {
		got, err := trip(conn, "hello")
		require.NoError(t, err)
		assert.Equal(t, "hello", got)
	}
	assert.Equal(t, 3, trips.Count())
	assert.Zero(t, trips.Count())

	release := proxy.Hold()
	require.NoError(t, conn.SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = trip(conn, "held")
	require.ErrorContains(t, err, "timeout")
	release()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	b := make([]byte, 4)
	_, err = io.ReadFull(conn, b)
	require.NoError(t, err)
	assert.Equal(t, "held", string(b), "nothing is lost")

	const delay = 20 * time.Millisecond
	proxy.Slow(delay)
	start := time.Now()
	_, err = trip(conn, "slow")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(start), 2*delay, "both ways")
	proxy.Slow(0)

	proxy.Cut()
	_, err = trip(conn, "cut")
	require.Error(t, err)
	conn, err = trips.Dial(t.Context(), "tcp", proxy.Addr)
	require.NoError(t, err)
	got, err := trip(conn, "new")
	require.NoError(t, err)
	assert.Equal(t, "new", got)
}
